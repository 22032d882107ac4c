// batch_norm: makes mean 0 and variance 1 of every channel over the batch (Ioffe and Szegedy 2015),
// then scales by gamma and adds beta.
//
//   forward             x [..., C], gamma [C] or absent (1), beta [C] or absent (0)
//                       -> y [..., C], mean [C], variance [C]
//   inference           x, mean, variance, gamma, beta -> y; y may be x
//   backward            dy [..., C], x, mean, variance, gamma
//                       -> dx, dgamma [C], dbeta [C], each or absent; dx may be dy
//   backward_inference  the same where mean and variance were given
//   update_moving       mean [C], variance [C], and changed in place moving_mean, moving_variance
//
// With n rows, s = 1 / sqrt(variance + epsilon) and h = (x - mean) s, per channel:
//
//   mean = sum x / n,  variance = sum (x - mean)^2 / n,  y = gamma h + beta      (Algorithm 1)
//   dbeta = sum dy,  dgamma = sum dy h,  dx = gamma s (dy - dbeta / n - h dgamma / n)
//   where mean and variance were given: dx = gamma s dy
//   moving = momentum moving + (1 - momentum) batch, of mean and of variance
//
// The variance is the biased one, also in the moving average, as in Keras. Its error must not grow
// with mean^2: no difference of squares. Of no rows, mean, variance, dgamma and dbeta are 0.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct BatchNormParams {
  double epsilon;   // > 0
  double momentum;  // of update_moving
};

CK_DECLARE_KERNEL(batch_norm_naive_forward)
CK_DECLARE_KERNEL(batch_norm_naive_inference)
CK_DECLARE_KERNEL(batch_norm_naive_backward)
CK_DECLARE_KERNEL(batch_norm_naive_backward_inference)
CK_DECLARE_KERNEL(batch_norm_naive_update_moving)
CK_DECLARE_KERNEL(batch_norm_simd_forward)
CK_DECLARE_KERNEL(batch_norm_simd_inference)
CK_DECLARE_KERNEL(batch_norm_simd_backward)
CK_DECLARE_KERNEL(batch_norm_simd_backward_inference)

}  // namespace convkit
