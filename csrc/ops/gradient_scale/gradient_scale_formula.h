// By what a gradient is multiplied at a step of training, on any device.
#pragma once

#include "core/libm.h"
#include "ops/gradient_scale/gradient_scale.h"

namespace convkit::CK_ISA {

CK_INLINE double factor_at(const GradientScaleParams& p, const StepBlock& block) {
  if (p.ramp <= 0) return p.factor;
  const double progress = static_cast<double>(block.step) / p.ramp;
  return p.factor * (2 / (1 + libm::exp(-10 * (progress < 1 ? progress : 1))) - 1);
}

}  // namespace convkit::CK_ISA
