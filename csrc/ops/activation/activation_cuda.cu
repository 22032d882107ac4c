#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/activation/activation_formula.h"

namespace convkit::cuda {
namespace {

template <class T>
struct Apply {
  Activation kind;
  T alpha;
  CK_DEVICE T operator()(T x) const { return activate(kind, alpha, x); }
};

template <class T>
struct FromInput {
  Activation kind;
  T alpha;
  CK_DEVICE T operator()(T dy, T x) const {
    return dy * activate_derivative_from_input(kind, alpha, x);
  }
};

template <class T>
struct FromOutput {
  Activation kind;
  T alpha;
  CK_DEVICE T operator()(T dy, T y) const {
    return dy * activate_derivative_from_output(kind, alpha, y);
  }
};

template <template <class> class F, class T>
F<T> formula(const Call& call) {
  const ActivationParams& params = call.as<ActivationParams>();
  return {static_cast<Activation>(params.activation), static_cast<T>(params.alpha)};
}

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* const x = call[0].as<T>();
    map(call, call[0].size(), formula<Apply, T>(call), call[1].as<T>(), x);
  });
}

template <template <class> class F>
void backward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *const dy = call[0].as<T>(), *const saved = call[1].as<T>();
    map(call, call[0].size(), formula<F, T>(call), call[2].as<T>(), dy, saved);
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward", "cuda_simple", kFloats, &backward<FromInput>},
    {"backward_from_output", "cuda_simple", kFloats, &backward<FromOutput>},
};

}  // namespace

extern const Table activation_cuda_table = {"activation", rows};

}  // namespace convkit::cuda
