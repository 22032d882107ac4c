// conv2d_pool: convolution, bias, activation and the maximum over windows in one. The image between
// convolution and pooling, and its gradient, are never in memory as a whole.
//
//   forward          x [N,H,W,C], w [KH,KW,C/groups,K], b [K] or absent
//                      -> y [N,PP,PQ,K], winner uint8 [N,PP,PQ,K] or absent
//   backward_input   dy [N,PP,PQ,K], w [KH,KW,C/groups,K], y [N,PP,PQ,K], winner [N,PP,PQ,K],
//                      x [N,H,W,C] or absent -> dx [N,H,W,C]
//   backward_weight  dy [N,PP,PQ,K], x [N,H,W,C], y [N,PP,PQ,K], winner [N,PP,PQ,K]
//                      -> dw [KH,KW,C/groups,K], db [K] or absent
//
//   z [N,P,Q,K] = conv2d(x, w, b), its activation f included; y, winner = the maximum of pool2d
//   over z: the first of equal values wins, the first NaN wins over numbers, padding never wins.
//   winner is i*window_w + j, for windows of at most 256 positions.
//
// backward: dz is, at each pixel of z, the sum of dy f'(y) over the windows that it won, in window
// order, and 0 elsewhere; dx (with `through`), dw and db are those of conv2d for it. f' comes from
// y, so f is one of the kinds of from_output. Whether an infinite x or w meets the zeros of dz is
// left open.
#pragma once

#include "core/kernel.h"
#include "ops/conv2d/conv2d.h"
#include "ops/pool2d/pool2d.h"

namespace convkit {

struct Conv2dPoolParams {
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int64_t dilation_h, dilation_w;
  int64_t groups;
  int64_t activation;  // an Activation
  double alpha;
  int64_t through;  // an Activation
  double through_alpha;
  int64_t window_h, window_w;
  int64_t pool_stride_h, pool_stride_w;
  int64_t pool_pad_top, pool_pad_bottom, pool_pad_left, pool_pad_right;
};

constexpr int64_t kConv2dPoolMaxPositions = 256;  // of a window: winner is a byte

// The parameters of the two ops that it is made of.
CK_INLINE Conv2dParams conv2d_of(const Conv2dPoolParams& p) {
  return {p.stride_h,  p.stride_w,   p.pad_top,      p.pad_bottom, p.pad_left,
          p.pad_right, p.dilation_h, p.dilation_w,   p.groups,     p.activation,
          p.alpha,     p.through,    p.through_alpha};
}
CK_INLINE Pool2dParams pool2d_of(const Conv2dPoolParams& p) {
  return {p.window_h,
          p.window_w,
          p.pool_stride_h,
          p.pool_stride_w,
          p.pool_pad_top,
          p.pool_pad_bottom,
          p.pool_pad_left,
          p.pool_pad_right,
          0,
          static_cast<int64_t>(Activation::linear),
          0};
}

// The shape of the convolution; P and Q are of no operand.
CK_INLINE Conv2dShape conv2d_pool_shape(const Tensor& x, const Tensor& w,
                                        const Conv2dPoolParams& p) {
  Conv2dShape s = conv2d_shape(x, w, x);
  s.P = (s.H + p.pad_top + p.pad_bottom - (s.KH - 1) * p.dilation_h - 1) / p.stride_h + 1;
  s.Q = (s.W + p.pad_left + p.pad_right - (s.KW - 1) * p.dilation_w - 1) / p.stride_w + 1;
  return s;
}

CK_DECLARE_KERNEL(conv2d_pool_naive_forward)
CK_DECLARE_KERNEL(conv2d_pool_naive_backward_input)
CK_DECLARE_KERNEL(conv2d_pool_naive_backward_weight)
CK_DECLARE_KERNEL(conv2d_pool_implicit_gemm_forward)
CK_DECLARE_KERNEL(conv2d_pool_implicit_gemm_backward_input)
CK_DECLARE_KERNEL(conv2d_pool_implicit_gemm_backward_weight)
CK_DECLARE_KERNEL(conv2d_pool_winograd_forward)
CK_DECLARE_KERNEL(conv2d_pool_winograd_backward_input)
CK_DECLARE_KERNEL(conv2d_pool_winograd_backward_weight)

}  // namespace convkit
