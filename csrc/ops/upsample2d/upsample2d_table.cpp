// The kernels of upsample2d, best first.
#include "ops/upsample2d/upsample2d.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(upsample2d_simd_forward)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(upsample2d_naive_forward)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(upsample2d_simd_backward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(upsample2d_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(Upsample2dParams, size_h),
    CK_FIELD(Upsample2dParams, size_w),
    CK_CHOICE(Upsample2dParams, interpolation, kInterpolationNames),
};

}  // namespace

extern const OpTable upsample2d_table = {"upsample2d", rows, fields, sizeof(Upsample2dParams)};

}  // namespace convkit
