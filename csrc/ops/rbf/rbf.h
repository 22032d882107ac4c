// rbf: how far rows are from centres, and the Gaussian of it. The leading axes are rows (R of
// them).
//
//   distance         x [...,C], w [C,K]          -> d [...,K]
//                    d_k = scale * sum_c (x_c - w_ck)^2
//   backward_input   dd [...,K], x, w            -> dx [...,C]
//                    dx_c = 2 scale * sum_k dd_k (x_c - w_ck)
//   backward_weight  dd [...,K], x, w            -> dw [C,K]
//                    dw_ck = 2 scale * sum_r dd_rk (w_ck - x_rc)
//   gaussian         d [...,K], s [K]            -> y [...,K]
//                    y_k = exp(-d_k / (2 sigma_k^2)) with sigma_k = exp(s_k)
//   gaussian_backward  dy, y, d [...,K], s [K]   -> dd [...,K], ds [K]
//                    dd_k = -dy_k y_k / (2 sigma_k^2);  ds_k = sum_r dy y d / sigma_k^2
//
// The centres are the columns of w, as the units of dense are: K is the axis that fills vectors.
// Squared differences are summed, never |x|^2 - 2 x w + |w|^2, which cancels for near centres.
// The width is given by its logarithm, so that it stays positive whatever a step of training does
// to s. With R = 0, dw and ds are 0. gaussian: y may be d. The passes with a Gaussian ignore scale.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct RbfParams {
  double scale;  // 1: squared distances; -1: negated, as logits of the nearest centre
};

CK_DECLARE_KERNEL(rbf_naive_distance)
CK_DECLARE_KERNEL(rbf_naive_backward_input)
CK_DECLARE_KERNEL(rbf_naive_backward_weight)
CK_DECLARE_KERNEL(rbf_naive_gaussian)
CK_DECLARE_KERNEL(rbf_naive_gaussian_backward)
CK_DECLARE_KERNEL(rbf_tiled_distance)
CK_DECLARE_KERNEL(rbf_tiled_backward_input)
CK_DECLARE_KERNEL(rbf_tiled_backward_weight)
CK_DECLARE_KERNEL(rbf_simd_gaussian)
CK_DECLARE_KERNEL(rbf_simd_gaussian_backward)

}  // namespace convkit
