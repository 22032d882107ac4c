// What a value adds to the sums of its column, on any device.
#pragma once

#include "ops/moments/moments.h"

namespace convkit::CK_ISA {

CK_INLINE void add_moments(double w, double p, double t, double (&sums)[6]) {
  const double error = p - t;
  sums[0] += w;
  sums[1] += w * t;
  sums[2] += w * t * t;
  sums[3] += w * error;
  sums[4] += w * error * error;
  sums[5] += w * (error < 0 ? -error : error);
}

}  // namespace convkit::CK_ISA
