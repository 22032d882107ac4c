// gradient_scale: x passes on as it is, and its gradient times a factor.
//
//   forward   x  [...] -> y  [...]     y = x                  y may be x
//   backward  dy [...] -> dx [...]     dx = factor * dy       dx may be dy
//
// A negative factor is the gradient reversal of Ganin et al. 2016 (Domain-adversarial training of
// neural networks, section 4.1).
#pragma once

#include "core/kernel.h"

namespace convkit {

struct GradientScaleParams {
  double factor;
};

CK_DECLARE_KERNEL(gradient_scale_naive_forward)
CK_DECLARE_KERNEL(gradient_scale_naive_backward)
CK_DECLARE_KERNEL(gradient_scale_simd_forward)
CK_DECLARE_KERNEL(gradient_scale_simd_backward)

}  // namespace convkit
