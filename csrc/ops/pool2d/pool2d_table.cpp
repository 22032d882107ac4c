// The kernels of pool2d, best first.
#include "ops/pool2d/pool2d.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"max_forward", "cpu_simd", kFloats, CK_PER_ISA(pool2d_simd_max_forward)},
    {"max_forward", "cpu_naive", kFloats, CK_PER_ISA(pool2d_naive_max_forward)},
    {"max_backward", "cpu_simd", kFloats, CK_PER_ISA(pool2d_simd_max_backward)},
    {"max_backward", "cpu_naive", kFloats, CK_PER_ISA(pool2d_naive_max_backward)},
    {"average_forward", "cpu_simd", kFloats, CK_PER_ISA(pool2d_simd_average_forward)},
    {"average_forward", "cpu_naive", kFloats, CK_PER_ISA(pool2d_naive_average_forward)},
    {"average_backward", "cpu_simd", kFloats, CK_PER_ISA(pool2d_simd_average_backward)},
    {"average_backward", "cpu_naive", kFloats, CK_PER_ISA(pool2d_naive_average_backward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(Pool2dParams, window_h),          CK_FIELD(Pool2dParams, window_w),
    CK_FIELD(Pool2dParams, stride_h),          CK_FIELD(Pool2dParams, stride_w),
    CK_FIELD(Pool2dParams, pad_top),           CK_FIELD(Pool2dParams, pad_bottom),
    CK_FIELD(Pool2dParams, pad_left),          CK_FIELD(Pool2dParams, pad_right),
    CK_FIELD(Pool2dParams, count_include_pad), CK_CHOICE(Pool2dParams, through, kActivationNames),
    CK_FIELD(Pool2dParams, through_alpha),
};

}  // namespace

extern const OpTable pool2d_table = {"pool2d", rows, fields, sizeof(Pool2dParams)};

}  // namespace convkit
