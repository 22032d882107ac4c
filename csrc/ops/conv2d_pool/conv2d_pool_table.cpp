// The kernels of conv2d_pool, best first.
#include "ops/conv2d_pool/conv2d_pool.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(conv2d_pool_naive_forward)},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(conv2d_pool_naive_backward_input)},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(conv2d_pool_naive_backward_weight)},
};

constexpr ParamField fields[] = {
    CK_FIELD(Conv2dPoolParams, stride_h),
    CK_FIELD(Conv2dPoolParams, stride_w),
    CK_FIELD(Conv2dPoolParams, pad_top),
    CK_FIELD(Conv2dPoolParams, pad_bottom),
    CK_FIELD(Conv2dPoolParams, pad_left),
    CK_FIELD(Conv2dPoolParams, pad_right),
    CK_FIELD(Conv2dPoolParams, dilation_h),
    CK_FIELD(Conv2dPoolParams, dilation_w),
    CK_FIELD(Conv2dPoolParams, groups),
    CK_CHOICE(Conv2dPoolParams, activation, kActivationNames),
    CK_FIELD(Conv2dPoolParams, alpha),
    CK_CHOICE(Conv2dPoolParams, through, kActivationNames),
    CK_FIELD(Conv2dPoolParams, through_alpha),
    CK_FIELD(Conv2dPoolParams, window_h),
    CK_FIELD(Conv2dPoolParams, window_w),
    CK_FIELD(Conv2dPoolParams, pool_stride_h),
    CK_FIELD(Conv2dPoolParams, pool_stride_w),
    CK_FIELD(Conv2dPoolParams, pool_pad_top),
    CK_FIELD(Conv2dPoolParams, pool_pad_bottom),
    CK_FIELD(Conv2dPoolParams, pool_pad_left),
    CK_FIELD(Conv2dPoolParams, pool_pad_right),
};

}  // namespace

extern const OpTable conv2d_pool_table = {"conv2d_pool", rows, fields, sizeof(Conv2dPoolParams)};

}  // namespace convkit
