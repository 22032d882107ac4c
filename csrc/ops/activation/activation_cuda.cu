#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "ops/activation/activation_formula.h"

namespace convkit::cuda {
namespace {

template <class T>
struct Forward {
  const T* x;
  T* y;
  Activation kind;
  T alpha;
  CK_DEVICE void operator()(int64_t i) const { y[i] = activate(kind, alpha, x[i]); }
};

template <class T>
struct Backward {
  const T *dy, *x;
  T* dx;
  Activation kind;
  T alpha;
  CK_DEVICE void operator()(int64_t i) const {
    dx[i] = dy[i] * activate_derivative_from_input(kind, alpha, x[i]);
  }
};

template <class T>
struct BackwardFromOutput {
  const T *dy, *y;
  T* dx;
  Activation kind;
  T alpha;
  CK_DEVICE void operator()(int64_t i) const {
    dx[i] = dy[i] * activate_derivative_from_output(kind, alpha, y[i]);
  }
};

Activation kind_of(const Call& call) {
  return static_cast<Activation>(call.as<ActivationParams>().activation);
}

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const T alpha = static_cast<T>(call.as<ActivationParams>().alpha);
    for_each(call, call[0].size(),
             Forward<T>{call[0].as<T>(), call[1].as<T>(), kind_of(call), alpha});
  });
}

template <template <class> class F>
void backward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const T alpha = static_cast<T>(call.as<ActivationParams>().alpha);
    for_each(call, call[0].size(),
             F<T>{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), kind_of(call), alpha});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward", "cuda_simple", kFloats, &backward<Backward>},
    {"backward_from_output", "cuda_simple", kFloats, &backward<BackwardFromOutput>},
};

}  // namespace

extern const Table activation_cuda_table = {"activation", rows};

}  // namespace convkit::cuda
