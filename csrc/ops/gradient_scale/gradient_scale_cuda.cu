#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "ops/gradient_scale/gradient_scale_formula.h"

namespace convkit::cuda {
namespace {

template <class T>
struct Copy {
  const T* x;
  T* y;
  CK_DEVICE void operator()(int64_t i) const { y[i] = x[i]; }
};

template <class T>
struct Scale {
  GradientScaleParams params;
  const StepBlock* step;
  const T* dy;
  T* dx;
  int64_t n;

  static constexpr int kThreads = 256;
  CK_DEVICE void operator()() const {
    const T factor = static_cast<T>(factor_at(params, *step));
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n;
         i += int64_t{gridDim.x} * kThreads)
      dx[i] = factor * dy[i];
  }
};

void forward(const Call& call) {
  if (call[0].data == call[1].data) return;
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each(call, call[0].size(), Copy<T>{call[0].as<T>(), call[1].as<T>()});
  });
}

void backward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = call[0].size(), blocks = ceil_div(n, Scale<T>::kThreads);
    launch(
        call, dim3(static_cast<unsigned>(blocks < 2048 ? blocks : 2048)),
        Scale<T>{call.as<GradientScaleParams>(), call.step, call[0].as<T>(), call[1].as<T>(), n});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward", "cuda_simple", kFloats, &backward},
};

}  // namespace

extern const Table gradient_scale_cuda_table = {"gradient_scale", rows};

}  // namespace convkit::cuda
