// The kernels of gradient_scale, best first.
#include "ops/gradient_scale/gradient_scale.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(gradient_scale_simd_forward)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(gradient_scale_naive_forward)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(gradient_scale_simd_backward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(gradient_scale_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(GradientScaleParams, factor),
    CK_FIELD(GradientScaleParams, ramp),
};

}  // namespace

extern const OpTable gradient_scale_table = {"gradient_scale", rows, fields,
                                             sizeof(GradientScaleParams)};

}  // namespace convkit
