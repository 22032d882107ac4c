// loss: one number per row (R rows of K values), their total, and the gradient in the same pass.
//
//   forward   p [...,K], t, weight [R] or absent -> loss [R], total [1] float64
//   backward  p [...,K], t, weight [R] or absent -> loss [R], total [1] float64, dp [...,K]
//
// t is int32 [R] (labels, for softmax_cross_entropy and cross_entropy only) or of p's shape and
// dtype. loss[r] = weight[r] * l(p[r], t[r]); total = sum of loss; dp = scale * d total / dp.
//
//   softmax_cross_entropy  p are logits: l = sum_k t_k * (logsumexp(p) - p_k)
//   cross_entropy          p are probabilities, divided by their sum, then clipped to
//                          [1e-7, 1 - 1e-7] (gradient 0 where clipped): l = -sum_k t_k log p_k
//   sigmoid_cross_entropy  p are logits: l = mean_k (max(p,0) - p*t + log1p(exp(-|p|)))
//   binary_cross_entropy   p are probabilities, clipped likewise:
//                          l = -mean_k (t log p + (1-t) log(1-p))
//   squared_error          l = mean_k (p - t)^2
//
// label_smoothing s replaces t by (1-s) t + s/K (cross-entropies) or (1-s) t + s/2 (binary ones).
// Labels outside 0..K-1 were refused at the edge.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class Loss : int64_t {
  softmax_cross_entropy,
  cross_entropy,
  sigmoid_cross_entropy,
  binary_cross_entropy,
  squared_error,
};
constexpr const char* kLossNames[] = {"softmax_cross_entropy", "cross_entropy",
                                      "sigmoid_cross_entropy", "binary_cross_entropy",
                                      "squared_error"};

struct LossParams {
  int64_t kind;  // a Loss
  double label_smoothing;
  double scale;  // 1/R for the gradient of the mean
};

CK_DECLARE_KERNEL(loss_naive_forward)
CK_DECLARE_KERNEL(loss_naive_backward)
CK_DECLARE_KERNEL(loss_simd_forward)
CK_DECLARE_KERNEL(loss_simd_backward)

}  // namespace convkit
