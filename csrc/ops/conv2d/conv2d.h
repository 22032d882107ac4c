// conv2d: cross-correlation of NHWC images with HWIO filters, bias and activation in one.
//
//   forward          x [N,H,W,C], w [KH,KW,C/groups,K], b [K] or absent -> y [N,P,Q,K]
//   backward_input   dy [N,P,Q,K], w [KH,KW,C/groups,K], x [N,H,W,C] or absent -> dx [N,H,W,C]
//   backward_weight  dy [N,P,Q,K], x [N,H,W,C] -> dw [KH,KW,C/groups,K], db [K] or absent
//
//   y[n,p,q,k] = f(b[k] + sum_{i,j,c} x[n, p*stride_h - pad_top + i*dilation_h,
//                                          q*stride_w - pad_left + j*dilation_w, g*C/groups + c]
//                                     * w[i,j,c,k]),   g = k / (K/groups), x = 0 outside the image
//   P = (H + pad_top + pad_bottom - (KH-1)*dilation_h - 1) / stride_h + 1, and Q likewise.
//
// The backward passes take dy before the activation: they ignore it. With N = 0, dw and db are 0.
// dx is multiplied by the derivative of the activation that gave x, from x
// (ops/activation/activation_through.h); where `through` is linear that is 1, and x is absent.
//
// cpu_winograd does not add up the products of the definition: it has an error bound of its own,
// and a NaN or an infinity makes NaN of all results of the tiles that read it.
#pragma once

#include "core/kernel.h"
#include "ops/activation/activation.h"

namespace convkit {

struct Conv2dParams {
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int64_t dilation_h, dilation_w;
  int64_t groups;
  int64_t activation;  // an Activation
  double alpha;
  int64_t through;  // an Activation
  double through_alpha;
};

enum class Conv2dPass { forward, backward_input, backward_weight };

// The letters of the legend above, read off the operands.
struct Conv2dShape {
  int64_t N, H, W, C, KH, KW, K, P, Q;
};
CK_INLINE Conv2dShape conv2d_shape(const Tensor& x, const Tensor& w, const Tensor& y) {
  return {x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0],
          w.shape[1], w.shape[3], y.shape[1], y.shape[2]};
}

CK_DECLARE_KERNEL(conv2d_depthwise_forward)
CK_DECLARE_KERNEL(conv2d_depthwise_backward_input)
CK_DECLARE_KERNEL(conv2d_depthwise_backward_weight)
CK_DECLARE_KERNEL(conv2d_naive_forward)
CK_DECLARE_KERNEL(conv2d_naive_backward_input)
CK_DECLARE_KERNEL(conv2d_naive_backward_weight)
CK_DECLARE_KERNEL(conv2d_im2col_forward)
CK_DECLARE_KERNEL(conv2d_im2col_backward_input)
CK_DECLARE_KERNEL(conv2d_im2col_backward_weight)
CK_DECLARE_KERNEL(conv2d_implicit_gemm_forward)
CK_DECLARE_KERNEL(conv2d_implicit_gemm_backward_input)
CK_DECLARE_KERNEL(conv2d_implicit_gemm_backward_weight)
CK_DECLARE_KERNEL(conv2d_winograd_forward)
CK_DECLARE_KERNEL(conv2d_winograd_backward_input)
CK_DECLARE_KERNEL(conv2d_winograd_backward_weight)

}  // namespace convkit
