// update: every rule in one pass over gradient, state and weights, and the norm of gradients.
#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"
#include "ops/update/update_passes.h"

namespace convkit::cuda {
namespace {

// A product that is not fused with what follows.
CK_DEVICE float rounded_product(float a, float b) { return __fmul_rn(a, b); }
CK_DEVICE double rounded_product(double a, double b) { return __dmul_rn(a, b); }

// The numbers of a rule need powers in double, and on many devices that takes long: one thread of
// a block makes them for all.
template <class Rule, class T, int kStates>
struct Step {
  static constexpr int kThreads = 256;
  const T* g;
  T* w;
  T* state[kStates > 0 ? kStates : 1];
  int64_t n, packed;
  UpdateParams params;
  const StepBlock* block;

  struct Numbers {
    Before<T> before;
    Rule rule;
  };

  CK_DEVICE void operator()() const {
    CK_SHARED(unsigned char, memory, [sizeof(Numbers)]);
    Numbers& shared = *reinterpret_cast<Numbers*>(memory);
    if (threadIdx.x == 0) shared = Numbers{Before<T>(params, *block), Rule(params, *block)};
    __syncthreads();
    const Numbers numbers = shared;
    constexpr int kSize = kPackSize<T>;
    const int64_t self = int64_t{blockIdx.x} * kThreads + threadIdx.x;
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t i = self * kSize; i < packed; i += step * kSize) take<kSize>(numbers, i);
    for (int64_t i = packed + self; i < n; i += step) take<1>(numbers, i);
  }

  template <int size>
  CK_DEVICE void take(const Numbers& numbers, int64_t i) const {
    const Pack<T, size> gradient = load<size>(g + i);
    Pack<T, size> weight = load<size>(w + i), s[kStates > 0 ? kStates : 1];
    CK_UNROLL
    for (int a = 0; a < kStates; ++a) s[a] = load<size>(state[a] + i);
    CK_UNROLL
    for (int k = 0; k < size; ++k) {
      T& x = weight.v[k];
      if (numbers.before.shrink != 0) x -= numbers.before.shrink * x;
      const T d = numbers.before.gradient(gradient.v[k], x);
      if constexpr (kStates == 0) {
        x -= rounded_product(numbers.rule.eta, d);
      } else if constexpr (kStates == 1) {
        numbers.rule(d, x, s[0].v[k]);
      } else if constexpr (kStates == 2) {
        numbers.rule(d, x, s[0].v[k], s[1].v[k]);
      } else {
        numbers.rule(d, x, s[0].v[k], s[1].v[k], s[2].v[k]);
      }
    }
    store(w + i, weight);
    CK_UNROLL
    for (int a = 0; a < kStates; ++a) store(state[a] + i, s[a]);
  }
};

struct OnDevice {
  static constexpr int kState = 1;
  template <class Rule, class T, class... At>
  static void run(const Call& call, At... at) {
    const int64_t n = call[0].size();
    Step<Rule, T, sizeof...(At)> step{call[0].as<T>(),
                                      call[call.count - 1].as<T>(),
                                      {call[at].template as<T>()...},
                                      n,
                                      0,
                                      call.as<UpdateParams>(),
                                      call.step};
    const bool packs = packable(step.g, step.w, call[at].template as<T>()...);
    step.packed = packed(n, kPackSize<T>, packs);
    launch(call, dim3(blocks_of_packs(n, kPackSize<T>, packs)), step);
  }
};

// ---- norm

constexpr int kOperands = 64;  // gradients of one launch

// The sum of squares of each chunk of kUpdateChunk values, in double: squares of float32 neither
// overflow nor vanish.
template <class T>
struct Squares {
  static constexpr int kThreads = 256;
  struct Operand {
    const T* g;
    int64_t n, chunks;
    bool packs;
  };
  Operand operands[kOperands];
  double* sums;

  CK_DEVICE void operator()() const {
    int64_t chunk = blockIdx.x;
    int o = 0;
    for (; chunk >= operands[o].chunks; ++o) chunk -= operands[o].chunks;
    const Operand& operand = operands[o];
    const T* const g = operand.g + chunk * kUpdateChunk;
    const int64_t left = operand.n - chunk * kUpdateChunk;
    const int n = static_cast<int>(left < kUpdateChunk ? left : kUpdateChunk);
    constexpr int kSize = kPackSize<T>;
    double sum = 0;
    for (int i = kSize * threadIdx.x; i < n; i += kSize * kThreads) {
      Pack<T, kSize> values;
      if (operand.packs && i + kSize <= n) {
        values = load<kSize>(g + i);
      } else {
        CK_UNROLL
        for (int k = 0; k < kSize; ++k) values.v[k] = i + k < n ? g[i + k] : T(0);
      }
      CK_UNROLL
      for (int k = 0; k < kSize; ++k)
        sum += static_cast<double>(values.v[k]) * static_cast<double>(values.v[k]);
    }
    sum = block_sum<kThreads>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
  }
};

template <class T>
struct Norm {
  static constexpr int kThreads = 256;
  const double* sums;
  int64_t count;
  T* norm;

  CK_DEVICE void operator()() const {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += sums[i];
    sum = block_sum<kThreads>(sum);
    if (threadIdx.x == 0) *norm = static_cast<T>(libm::sqrt(sum));
  }
};

Workspace sums_of_chunks(const convkit::Call& call) {
  int64_t chunks = 0;
  for (int i = 0; i + 1 < call.count; ++i) chunks += ceil_div(call[i].size(), kUpdateChunk);
  return chunks * int64_t{sizeof(double)};
}

void global_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    double* const sums = reinterpret_cast<double*>(call.workspace);
    int64_t count = 0;
    for (int first = 0; first + 1 < call.count; first += kOperands) {
      Squares<T> squares{{}, sums + count};
      int64_t blocks = 0;
      for (int o = first; o + 1 < call.count && o < first + kOperands; ++o) {
        const Tensor& g = call[o];
        const int64_t chunks = ceil_div(g.size(), kUpdateChunk);
        squares.operands[o - first] = {g.as<T>(), g.size(), chunks, packable(g.as<T>())};
        blocks += chunks;
      }
      launch(call, dim3(static_cast<unsigned>(blocks)), squares);
      count += blocks;
    }
    launch(call, dim3(1), Norm<T>{sums, count, call[call.count - 1].as<T>()});
  });
}

template <class T>
struct Clip {
  const T* norm;
  T* g;
  double most;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const double size = static_cast<double>(*norm);
    if (!(size > most)) return;
    const T factor = static_cast<T>(most / size);
    Pack<T, n> values = load<n>(g + i);
    CK_UNROLL
    for (int k = 0; k < n; ++k) values.v[k] *= factor;
    store(g + i, values);
  }
};

void clip_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    T* const g = call[1].as<T>();
    for_each_pack<kPackSize<T>>(call, call[1].size(), packable(g),
                                Clip<T>{call[0].as<T>(), g, call.as<UpdateParams>().max_norm});
  });
}

constexpr Kernel rows[] = {
    {"sgd", "cuda_simple", kFloats, [](const Call& call) { run_sgd<OnDevice>(call); }},
    {"adagrad", "cuda_simple", kFloats, [](const Call& call) { run_adagrad<OnDevice>(call); }},
    {"adadelta", "cuda_simple", kFloats, [](const Call& call) { run_adadelta<OnDevice>(call); }},
    {"rmsprop", "cuda_simple", kFloats, [](const Call& call) { run_rmsprop<OnDevice>(call); }},
    {"adam", "cuda_simple", kFloats, [](const Call& call) { run_adam<OnDevice>(call); }},
    {"nadam", "cuda_simple", kFloats, [](const Call& call) { run_nadam<OnDevice>(call); }},
    {"adamax", "cuda_simple", kFloats, [](const Call& call) { run_adamax<OnDevice>(call); }},
    {"lion", "cuda_simple", kFloats, [](const Call& call) { run_lion<OnDevice>(call); }},
    {"global_norm", "cuda_simple", kFloats, &global_norm, nullptr, &sums_of_chunks},
    {"clip_norm", "cuda_simple", kFloats, &clip_norm},
};

}  // namespace

extern const Table update_cuda_table = {"update", rows};

}  // namespace convkit::cuda
