// Windows are summed up anew for each element: of five channels that is little beside memory. The
// gradient comes in two steps, so that the power of each denominator is taken once.
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

Workspace backward_workspace(const convkit::Call& call) {
  return call[0].size() * (call[0].dtype == Dtype::float64 ? 8 : 4);
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward", "cuda_simple", kFloats, &backward, nullptr, backward_workspace},
};

}  // namespace

extern const Table lrn_cuda_table = {"lrn", rows};

}  // namespace convkit::cuda
