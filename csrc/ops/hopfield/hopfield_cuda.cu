// hopfield on a GPU. The fields of all states are one product of matrices; a flip of neuron i then
// adds a multiple of row i of w, which is its column, to the fields of its state.
#include "cuda/kernel.h"
#include "cuda/reduce.cuh"
#include "cuda/tile_sums.cuh"
#include "ops/hopfield/hopfield_update.h"

namespace convkit::cuda {
namespace {

// Bytes of a state's fields that a block may have in shared memory; in the emulator few, so that
// tests reach both.
constexpr int64_t kSharedFields = CK_CUDA_EMULATED ? 1000 : 47 * 1024;

// The fields of all states, or what they make of the states.
template <class T, bool kUpdate>
struct Fields {
  static constexpr int kThreads = 256;
  Factor<T> s, w;
  int64_t N;
  const T* b;
  Alphabet<T> alphabet;
  T* to;
  CK_DEVICE void operator()() const {
    tile_sums<true, true>(s, w, int64_t{blockIdx.x} * kTileLines, int64_t{blockIdx.y} * kTileLines,
                          0, N, Products{}, [this](int64_t n, int64_t i, T h) {
                            if (b != nullptr) h += b[i];
                            to[n * N + i] = kUpdate ? alphabet.update(h, s.data[n * N + i]) : h;
                          });
  }
};

template <bool kUpdate, class T>
void launch_fields(const Call& call, const T* w, const T* b, const T* s, int64_t B, int64_t N,
                   T* to) {
  launch(call, dim3(tiles_of(B), tiles_of(N)),
         Fields<T, kUpdate>{{s, N, B}, {w, N, N}, N, b, Alphabet<T>(call), to});
}

// A block has a state. Its threads look at the next 256 updates at a time: as long as none of them
// changes a value they all see the same fields, so the first that does is the next that happens.
template <class T>
struct Asynchronous {
  static constexpr int kThreads = 256;
  const T *w, *fields;
  const int64_t* order;
  int64_t L, N;
  Alphabet<T> alphabet;
  T* s;
  int64_t* flips;
  T* anywhere;  // null: the fields are copied to shared memory
  CK_DEVICE void operator()() const {
    CK_DYN_SHARED(T, shared);
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t n = blockIdx.x;
    T* const h = anywhere != nullptr ? anywhere + n * N : shared;
    T* const state = s + n * N;
    if (anywhere == nullptr) {
      for (int64_t j = thread; j < N; j += kThreads) h[j] = fields[n * N + j];
    }
    __syncthreads();
    int64_t count = 0;
    for (int64_t t = 0; t < L;) {
      int first = kThreads;
      if (t + thread < L) {
        const int64_t i = order[t + thread];
        if (alphabet.update(h[i], state[i]) != state[i]) first = thread;
      }
      first = block_min<kThreads>(first);
      if (first < kThreads) {
        const int64_t i = order[t + first];
        const T old = state[i], next = alphabet.update(h[i], old);
        __syncthreads();
        if (thread == 0) state[i] = next;
        for (int64_t j = thread; j < N; j += kThreads) h[j] += (next - old) * w[i * N + j];
        ++count;
        __syncthreads();
      }
      t += first < kThreads ? first + 1 : kThreads;
    }
    if (thread == 0) flips[n] = count;
  }
};

template <class T>
struct CountFlips {
  static constexpr int kThreads = 256;
  const T *s, *y;
  int64_t N;
  int64_t* flips;
  CK_DEVICE void operator()() const {
    const int64_t n = blockIdx.x;
    int64_t count = 0;
    for (int64_t i = threadIdx.x; i < N; i += kThreads) count += s[n * N + i] != y[n * N + i];
    count = block_sum<kThreads>(count);
    if (threadIdx.x == 0) flips[n] = count;
  }
};

template <class T>
struct Energy {
  static constexpr int kThreads = 256;
  const T *fields, *b, *s;
  int64_t N;
  double* e;
  CK_DEVICE void operator()() const {
    const int64_t n = blockIdx.x;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < N; i += kThreads) {
      const double h = fields[n * N + i];
      sum -= s[n * N + i] * (h / 2 + (b != nullptr ? b[i] : T(0)));
    }
    sum = block_sum<kThreads>(sum);
    if (threadIdx.x == 0) e[n] = sum;
  }
};

void asynchronous(const Call& call) {
  const int64_t L = call[2].size(), B = call[3].shape[0], N = call[3].shape[1];
  if (B == 0) return;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const fields = reinterpret_cast<T*>(call.workspace);
    launch_fields<false>(call, call[0].as<T>(), call[1].as<T>(), call[3].as<T>(), B, N, fields);
    const int64_t bytes = checked_product(N, sizeof(T));
    const bool fit = bytes <= kSharedFields;
    launch(call, dim3(static_cast<unsigned>(B)),
           Asynchronous<T>{call[0].as<T>(), fields, call[2].as<int64_t>(), L, N, Alphabet<T>(call),
                           call[3].as<T>(), call[4].as<int64_t>(), fit ? nullptr : fields},
           fit ? static_cast<std::size_t>(bytes) : sizeof(T));
  });
}

void synchronous(const Call& call) {
  const int64_t B = call[2].shape[0], N = call[2].shape[1];
  if (B == 0) return;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const s = call[2].as<T>();
    T* const y = call[3].as<T>();
    launch_fields<true>(call, call[0].as<T>(), call[1].as<T>(), s, B, N, y);
    launch(call, dim3(static_cast<unsigned>(B)), CountFlips<T>{s, y, N, call[4].as<int64_t>()});
  });
}

void energy(const Call& call) {
  const int64_t B = call[2].shape[0], N = call[2].shape[1];
  if (B == 0) return;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const fields = reinterpret_cast<T*>(call.workspace);
    const T* const none = nullptr;
    launch_fields<false>(call, call[0].as<T>(), none, call[2].as<T>(), B, N, fields);
    launch(call, dim3(static_cast<unsigned>(B)),
           Energy<T>{fields, call[1].as<T>(), call[2].as<T>(), N, call[3].as<double>()});
  });
}

template <int kStates>
Workspace fields_of(const convkit::Call& call) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(call[0].dtype)];
  return checked_product(call[kStates].shape[0], call[kStates].shape[1], bytes);
}

constexpr Kernel rows[] = {
    {"asynchronous", "cuda_simple", kFloats, &asynchronous, nullptr, &fields_of<3>},
    {"synchronous", "cuda_simple", kFloats, &synchronous},
    {"energy", "cuda_simple", kFloats, &energy, nullptr, &fields_of<2>},
};

}  // namespace

extern const Table hopfield_cuda_table = {"hopfield", rows};

}  // namespace convkit::cuda
