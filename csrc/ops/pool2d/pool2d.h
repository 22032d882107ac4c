// pool2d: maximum or average over windows of an NHWC image.
//
//   max_forward       x [N,H,W,C]  -> y [N,P,Q,C], argmax [N,P,Q,C] or absent
//   max_backward      dy [N,P,Q,C], argmax [N,P,Q,C], x [N,H,W,C] or absent -> dx [N,H,W,C]
//   average_forward   x [N,H,W,C]  -> y [N,P,Q,C]
//   average_backward  dy [N,P,Q,C], x [N,H,W,C] or absent -> dx [N,H,W,C]
//
// argmax is the winner's position i*window_w + j in its window: uint8 where the window has at most
// 256 positions, else int32. The first of equal values wins; NaN wins over numbers (the first NaN),
// so it propagates. Padding never wins and, unless count_include_pad, never counts.
// Every window overlaps the image: padding is smaller than the window.
// P = (H + pad_top + pad_bottom - window_h) / stride_h + 1, and Q likewise. Where windows overlap,
// dx sums their shares in window order (p, then q). Then it is multiplied by the derivative of the
// activation that gave x, from x (ops/activation/activation_through.h); where `through` is linear
// that is 1, and x is absent.
#pragma once

#include "core/kernel.h"
#include "ops/activation/activation.h"

namespace convkit {

struct Pool2dParams {
  int64_t window_h, window_w;
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int64_t count_include_pad;  // average: divide by the window's size, not by its part in the image
  int64_t through;            // an Activation
  double through_alpha;
};

CK_DECLARE_KERNEL(pool2d_naive_max_forward)
CK_DECLARE_KERNEL(pool2d_naive_max_backward)
CK_DECLARE_KERNEL(pool2d_naive_average_forward)
CK_DECLARE_KERNEL(pool2d_naive_average_backward)
CK_DECLARE_KERNEL(pool2d_simd_max_forward)
CK_DECLARE_KERNEL(pool2d_simd_max_backward)
CK_DECLARE_KERNEL(pool2d_simd_average_forward)
CK_DECLARE_KERNEL(pool2d_simd_average_backward)

}  // namespace convkit
