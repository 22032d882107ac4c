#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"
#include "ops/mask/mask_steps.h"

namespace convkit::cuda {
namespace {

// A step is looked at by kLanes threads.
template <class T, int kLanes>
struct Find {
  static constexpr int kThreads = 256;
  const T* x;
  uint8_t* mask;
  int64_t steps, size;
  float value;

  CK_DEVICE void operator()() const {
    constexpr int64_t kSteps = kThreads / kLanes;
    const int lane = threadIdx.x % kLanes;
    const int64_t stride = int64_t{gridDim.x} * kSteps;
    for (int64_t first = int64_t{blockIdx.x} * kSteps; first < steps; first += stride) {
      const int64_t step = first + threadIdx.x / kLanes;
      int counts = 0;
      if (step < steps)
        for (int64_t j = lane; j < size; j += kLanes)
          counts |= static_cast<float>(x[step * size + j]) != value;
      counts = warp_max<kLanes>(counts);
      if (step < steps && lane == 0) mask[step] = static_cast<uint8_t>(counts);
    }
  }
};

template <class T, int kLanes>
void find_with(const Call& call) {
  const int64_t steps = call[1].size();
  const Find<T, kLanes> find{call[0].as<T>(), call[1].as<uint8_t>(), steps, step_size(call[0]),
                             static_cast<float>(call.as<MaskParams>().value)};
  launch(call, dim3(blocks_of_packs(steps * kLanes, 1, true)), find);
}

void find(const Call& call) {
  dispatch_number(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    step_size(call[0]) < 16 ? find_with<T, 1>(call) : find_with<T, 32>(call);
  });
}

struct Reverse {
  const uint8_t* mask;
  uint8_t* y;
  int64_t t;
  CK_DEVICE void operator()(int64_t i) const {
    const int64_t first = i / t * t;
    y[i] = mask[first + (t - 1 - (i - first))];
  }
};

void reverse(const Call& call) {
  for_each(call, call[0].size(),
           Reverse{call[0].as<uint8_t>(), call[1].as<uint8_t>(), call[0].last()});
}

// ---- weight

// How many steps count, in each of at most kParts parts of a mask.
constexpr int64_t kParts = 256, kLeastPart = 4096;
int64_t part_size(int64_t n) {
  const int64_t size = ceil_div(n, kParts);
  return size > kLeastPart ? size : kLeastPart;
}

struct Count {
  static constexpr int kThreads = 256;
  const uint8_t* mask;
  int64_t n, part;
  int64_t* counts;

  CK_DEVICE void operator()() const {
    const int64_t begin = blockIdx.x * part, end = begin + part < n ? begin + part : n;
    int64_t count = 0;
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) count += mask[i] != 0;
    count = block_sum<kThreads>(count);
    if (threadIdx.x == 0) counts[blockIdx.x] = count;
  }
};

template <class T>
struct Weight {
  static constexpr int kThreads = 256;
  static_assert(kThreads >= kParts);
  const uint8_t* mask;
  const T* weight;  // or null
  T* y;
  int64_t n, each;
  const int64_t* counts;
  int parts;  // 0: no mean is wanted

  CK_DEVICE void operator()() const {
    double factor = 1;
    if (parts > 0) {
      const int part = static_cast<int>(threadIdx.x);
      const int64_t count = block_sum<kThreads>(part < parts ? counts[part] : int64_t{0});
      factor = count ? static_cast<double>(n) / static_cast<double>(count) : 0;
    }
    const T scale = static_cast<T>(factor);
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n * each; i += step) {
      const T w = weight ? weight[i] : T(1);
      y[i] = mask[i / each] ? w * scale : T(0);
    }
  }
};

Workspace counts_of_parts(const convkit::Call& call) {
  return call.as<MaskParams>().mean ? ceil_div(call[0].size(), part_size(call[0].size())) * 8 : 0;
}

void weight(const Call& call) {
  dispatch_float(call[2].dtype, [&](auto zero) {
    using T = decltype(zero);
    const uint8_t* const mask = call[0].as<uint8_t>();
    const int64_t n = call[0].size(), each = n ? call[2].size() / n : 0;
    int64_t* const counts = reinterpret_cast<int64_t*>(call.workspace);
    int64_t parts = 0;
    if (call.as<MaskParams>().mean) {
      parts = ceil_div(n, part_size(n));
      launch(call, dim3(static_cast<unsigned>(parts)), Count{mask, n, part_size(n), counts});
    }
    launch(call, dim3(blocks_of_packs(n * each, 1, true)),
           Weight<T>{mask, call[1].as<T>(), call[2].as<T>(), n, each, counts,
                     static_cast<int>(parts)});
  });
}

// ---- forward, backward

template <class T>
struct Apply {
  const T* x;
  const uint8_t* mask;
  T* y;
  int64_t size;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    Pack<T, n> values = {};
    if (mask[i / size]) values = load<n>(x + i);
    store(y + i, values);
  }
};

void apply(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Apply<T> apply{call[0].as<T>(), call[1].as<uint8_t>(), call[2].as<T>(),
                         step_size(call[0])};
    for_each_pack<kPackSize<T>>(
        call, call[0].size(), apply.size % kPackSize<T> == 0 && packable(apply.x, apply.y), apply);
  });
}

constexpr unsigned kSources = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);
constexpr unsigned kMasks = bit(Dtype::uint8);

constexpr Kernel rows[] = {
    {"find", "cuda_simple", kSources, &find},
    {"reverse", "cuda_simple", kMasks, &reverse},
    {"weight", "cuda_simple", kMasks, &weight, nullptr, &counts_of_parts},
    {"forward", "cuda_simple", kFloats, &apply},
    {"backward", "cuda_simple", kFloats, &apply},
};

}  // namespace

extern const Table mask_cuda_table = {"mask", rows};

}  // namespace convkit::cuda
