// channel_scale: a factor and an offset for each channel, of which one may be absent.
//
//   forward          x [..., C], w [C] or absent (1), b [C] or absent (0) -> y [..., C]
//   backward_input   dy [..., C], w [C] -> dx [..., C]
//   backward_weight  dy [..., C], x [..., C] (absent without dw) -> dw [C], db [C], each or absent
//
//   y = x w + b,  dx = dy w,  dw = sum dy x,  db = sum dy, the sums over all axes but the last
//
// y may be x, dx may be dy. Without w the gradient of x is dy itself.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct ChannelScaleParams {};

CK_DECLARE_KERNEL(channel_scale_naive_forward)
CK_DECLARE_KERNEL(channel_scale_naive_backward_input)
CK_DECLARE_KERNEL(channel_scale_naive_backward_weight)
CK_DECLARE_KERNEL(channel_scale_simd_forward)
CK_DECLARE_KERNEL(channel_scale_simd_backward_input)
CK_DECLARE_KERNEL(channel_scale_simd_backward_weight)

}  // namespace convkit
