// dense: y = f(x w + b) on the last axis; the leading axes are rows (R of them).
//
//   forward          x [...,C], w [C,K], b [K] or absent -> y [...,K]
//   backward_input   dy [...,K], w [C,K], x [...,C] or absent -> dx [...,C] = dy w^T * f'
//   backward_weight  dy [...,K], x [...,C]               -> dw [C,K] = x^T dy, db [K] or absent
//   backward_bias    dy [...,K]                          -> db [K], where dense_update makes dw
//
// The backward passes take dy before the activation: they ignore it. With R = 0, dw and db are 0.
// f' is the derivative of the activation that gave x, from x (ops/activation/activation_through.h);
// where `through` is linear it is 1, and x is absent.
#pragma once

#include "core/kernel.h"
#include "ops/activation/activation.h"

namespace convkit {

struct DenseParams {
  int64_t activation;  // an Activation
  double alpha;
  int64_t through;  // an Activation
  double through_alpha;
};

CK_DECLARE_KERNEL(dense_naive_forward)
CK_DECLARE_KERNEL(dense_naive_backward_input)
CK_DECLARE_KERNEL(dense_naive_backward_weight)
CK_DECLARE_KERNEL(dense_naive_backward_bias)
CK_DECLARE_KERNEL(dense_blas_forward)
CK_DECLARE_KERNEL(dense_blas_backward_input)
CK_DECLARE_KERNEL(dense_blas_backward_weight)
CK_DECLARE_KERNEL(dense_tiled_forward)
CK_DECLARE_KERNEL(dense_tiled_backward_input)
CK_DECLARE_KERNEL(dense_tiled_backward_weight)
CK_DECLARE_KERNEL(dense_tiled_backward_bias)

}  // namespace convkit
