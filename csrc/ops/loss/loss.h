// loss: one number per row (R rows of K values), their total, and the gradient in the same pass.
//
//   forward   p [...,K], t, weight [R]?, alpha [K]? -> loss [R], total [1] float64
//   backward  p [...,K], t, weight [R]?, alpha [K]? -> loss [R], total [1] float64, dp [...,K]
//
// t is int32 [R] (labels, for the kinds over classes only) or of p's shape and dtype.
// loss[r] = weight[r] * l(p[r], t[r]); total = sum of loss; dp = scale * d total / dp.
//
// Over classes:
//   softmax_cross_entropy  p are logits: l = sum_k t_k * (logsumexp(p) - p_k)
//   cross_entropy          p are probabilities, divided by their sum, then clipped to
//                          [1e-7, 1 - 1e-7] (gradient 0 where clipped): l = -sum_k t_k log p_k
//   softmax_focal_cross_entropy, focal_cross_entropy
//                          of logits and of probabilities likewise (Lin et al. 2017, equation 5):
//                          l = -sum_k alpha_k t_k (1 - p_k)^gamma log p_k
// Means over the row, l = 1/divisor sum_k f(p_k, t_k); a divisor of 0 stands for K:
//   sigmoid_cross_entropy  p are logits: f = max(p,0) - p*t + log1p(exp(-|p|))
//   binary_cross_entropy   p are probabilities, clipped likewise: f = -t log p - (1-t) log(1-p)
//   sigmoid_focal_cross_entropy, binary_focal_cross_entropy
//                          of logits and of probabilities: the f above times u^gamma, where
//                          u = t (1-p) + (1-t) p; if balanced, times t alpha + (1-t) (1-alpha)
//   squared_error          f = (p - t)^2
//   root_mean_squared_error
//                          couples the rows: with l of squared_error and m = 1/R sum_r weight_r l_r
//                          each loss[r] is sqrt(m); gradient 0 where m is 0
//   absolute_error         f = |p - t|, gradient 0 at 0
//   absolute_percentage_error
//                          f = 100 |p - t| / max(|t|, 1e-7)
//   squared_logarithmic_error
//                          f = (log(1 + max(p, 1e-7)) - log(1 + max(t, 1e-7)))^2
//   huber                  f = d^2/2 where |d| <= delta, else delta (|d| - delta/2); d = p - t
//   log_cosh               f = log(cosh(p - t))
//   poisson                f = p - t log(p + 1e-7)
//   kl_divergence          f = t log(t / p), both clipped to [1e-7, 1]
//   hinge, squared_hinge   t is -1 or 1: f = max(1 - t p, 0), its square
// Of the row as a whole:
//   categorical_hinge      l = max(max_k (1 - t_k) p_k - sum_k t_k p_k + 1, 0); equal largest ones
//                          share their gradient
//   cosine_similarity      l = -sum_k p_k t_k / (|p| |t|), where norms are at least 1e-7
//
// label_smoothing s replaces t by (1-s) t + s/K (cross-entropies over classes) or (1-s) t + s/2
// (binary ones); the other kinds have none. alpha of the kinds over classes is params.alpha for
// all, or the operand. Labels outside 0..K-1 were refused at the edge.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class Loss : int64_t {
  softmax_cross_entropy,
  cross_entropy,
  sigmoid_cross_entropy,
  binary_cross_entropy,
  squared_error,
  softmax_focal_cross_entropy,
  focal_cross_entropy,
  sigmoid_focal_cross_entropy,
  binary_focal_cross_entropy,
  root_mean_squared_error,
  absolute_error,
  absolute_percentage_error,
  squared_logarithmic_error,
  huber,
  log_cosh,
  poisson,
  kl_divergence,
  hinge,
  squared_hinge,
  categorical_hinge,
  cosine_similarity,
};
constexpr const char* kLossNames[] = {"softmax_cross_entropy",
                                      "cross_entropy",
                                      "sigmoid_cross_entropy",
                                      "binary_cross_entropy",
                                      "squared_error",
                                      "softmax_focal_cross_entropy",
                                      "focal_cross_entropy",
                                      "sigmoid_focal_cross_entropy",
                                      "binary_focal_cross_entropy",
                                      "root_mean_squared_error",
                                      "absolute_error",
                                      "absolute_percentage_error",
                                      "squared_logarithmic_error",
                                      "huber",
                                      "log_cosh",
                                      "poisson",
                                      "kl_divergence",
                                      "hinge",
                                      "squared_hinge",
                                      "categorical_hinge",
                                      "cosine_similarity"};

// Cross-entropies over classes, whose targets may be labels.
CK_INLINE constexpr bool over_classes(Loss kind) {
  return kind == Loss::softmax_cross_entropy || kind == Loss::cross_entropy ||
         kind == Loss::softmax_focal_cross_entropy || kind == Loss::focal_cross_entropy;
}
CK_INLINE constexpr bool of_whole_rows(Loss kind) {
  return over_classes(kind) || kind == Loss::categorical_hinge || kind == Loss::cosine_similarity;
}

struct LossParams {
  int64_t kind;  // a Loss
  double label_smoothing;
  double scale;  // 1/R for the gradient of the mean
  double divisor;
  double gamma;  // of the focal kinds, as alpha and balanced
  double alpha;
  int64_t balanced;
  double delta;  // of huber
};

CK_DECLARE_KERNEL(loss_naive_forward)
CK_DECLARE_KERNEL(loss_naive_backward)
CK_DECLARE_KERNEL(loss_rows_forward)
CK_DECLARE_KERNEL(loss_rows_backward)
CK_DECLARE_KERNEL(loss_means_forward)
CK_DECLARE_KERNEL(loss_means_backward)

}  // namespace convkit
