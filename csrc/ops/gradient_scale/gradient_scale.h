// gradient_scale: x passes on as it is, and its gradient times a factor.
//
//   forward   x  [...] -> y  [...]     y = x                  y may be x
//   backward  dy [...] -> dx [...]     dx = factor * rise * dy       dx may be dy
//
// A negative factor is the gradient reversal of Ganin et al. 2016 (Domain-adversarial training of
// neural networks, section 4.1). Where ramp is above 0 its rise goes from 0 to almost 1 over that
// many steps of training, 2 / (1 + exp(-10 step / ramp)) - 1 (section 5.2.2); else it is 1.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct GradientScaleParams {
  double factor;
  double ramp;  // in steps
};

CK_DECLARE_KERNEL(gradient_scale_naive_forward)
CK_DECLARE_KERNEL(gradient_scale_naive_backward)
CK_DECLARE_KERNEL(gradient_scale_simd_forward)
CK_DECLARE_KERNEL(gradient_scale_simd_backward)

}  // namespace convkit
