// Windows are summed up anew for each element: of five channels that is little beside memory. The
// gradient comes in two steps, so that the power of each denominator is taken once: cuda_tiled
// hands the first one's results on in shared memory, cuda_simple in the workspace.
#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "ops/lrn/lrn_formula.h"

namespace convkit::cuda {
namespace {

// d^exponent; that of AlexNet, -3/4, by two square roots, which are several times as fast.
template <class T>
CK_DEVICE T fast_power(T d, T exponent) {
  if (exponent != T(-0.75)) return power(d, exponent);
  const T root = sqrt(d);
  return T(1) / (root * sqrt(root));
}

template <class T>
struct Forward {
  LrnWindows<T> windows;
  T* y;
  CK_DEVICE void operator()(int64_t i) const {
    y[i] = windows.x[i] * fast_power(windows.denominator(i), windows.exponent);
  }
};

template <class T>
struct Give {
  LrnWindows<T> windows;
  const T* dy;
  T *dx, *given;
  CK_DEVICE void operator()(int64_t i) const {
    const T d = windows.denominator(i), scale = fast_power(d, windows.exponent);
    dx[i] = dy[i] * scale;
    given[i] = windows.given(i, dy[i], d, scale);
  }
};

template <class T>
struct Take {
  LrnWindows<T> windows;
  T* dx;
  const T* given;
  CK_DEVICE void operator()(int64_t i) const {
    T sum = 0;
    windows.each(i, true, [&](int64_t j) { sum += given[j]; });
    dx[i] -= windows.slope(i) * sum;
  }
};

// Windows across channels: a thread for each element of a tile, and for those beside it whose
// windows reach into it.
template <class T>
struct TiledBackward {
  static constexpr int kThreads = 256;
  LrnWindows<T> windows;
  const T* dy;
  T* dx;
  int64_t n;

  CK_INLINE int64_t before() const { return (windows.p.size - 1) / 2; }
  CK_INLINE int64_t tile() const { return kThreads + 1 - windows.p.size; }

  CK_DEVICE void operator()() const {
    CK_SHARED(T, given, [kThreads]);
    const int64_t begin = before(), end = begin + tile(), self = threadIdx.x;
    const int64_t i = blockIdx.x * tile() + self - begin;
    T own = 0;
    if (i >= 0 && i < n) {
      const T d = windows.denominator(i), scale = fast_power(d, windows.exponent);
      own = dy[i] * scale;
      given[self] = windows.given(i, dy[i], d, scale);
    }
    __syncthreads();
    if (self < begin || self >= end || i >= n) return;
    T sum = 0;
    windows.each(i, true, [&](int64_t j) { sum += given[self + (j - i)]; });
    dx[i] = own - windows.slope(i) * sum;
  }
};

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each(call, call[0].size(),
             Forward<T>{LrnWindows<T>(call[0], call.as<LrnParams>()), call[1].as<T>()});
  });
}

void backward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const LrnWindows<T> windows(call[1], call.as<LrnParams>());
    T *const dx = call[2].as<T>(), *const given = reinterpret_cast<T*>(call.workspace);
    for_each(call, call[0].size(), Give<T>{windows, call[0].as<T>(), dx, given});
    for_each(call, call[0].size(), Take<T>{windows, dx, given});
  });
}

void tiled_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const TiledBackward<T> kernel{LrnWindows<T>(call[1], call.as<LrnParams>()), call[0].as<T>(),
                                  call[2].as<T>(), call[0].size()};
    launch(call, dim3(static_cast<unsigned>(ceil_div(kernel.n, kernel.tile()))), kernel);
  });
}

// Most of the threads have an element of the tile; blocks are numbered with 31 bits.
bool tiles(const convkit::Call& call) {
  const LrnParams& params = call.as<LrnParams>();
  return !lrn_within(params) && params.size <= 64 && call[0].size() < (int64_t{1} << 38);
}

Workspace backward_workspace(const convkit::Call& call) {
  return call[0].size() * (call[0].dtype == Dtype::float64 ? 8 : 4);
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward", "cuda_tiled", kFloats, &tiled_backward, tiles},
    {"backward", "cuda_simple", kFloats, &backward, nullptr, backward_workspace},
};

}  // namespace

extern const Table lrn_cuda_table = {"lrn", rows};

}  // namespace convkit::cuda
