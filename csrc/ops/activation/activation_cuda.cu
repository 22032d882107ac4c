#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/activation/activation_stage.cuh"

namespace convkit::cuda {
namespace {

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
    sample_row<ActivationStage<StageKind::activation_forward>>("forward"),
    sample_row<ActivationStage<StageKind::activation_from_input>>("backward"),
    sample_row<ActivationStage<StageKind::activation_from_output>>("backward_from_output"),
};

}  // namespace

extern const Table activation_cuda_table = {"activation", rows};

}  // namespace convkit::cuda
