// moments: the sums from which means, variances and errors of regression follow. They add up over
// batches.
//
//   forward  p [...,K], t of p's shape or absent (0), weight [R] or absent (1)
//            -> sums [6,K] float64
//
//   over the rows r, for each column:
//   sums = {sum w, sum w t, sum w t^2, sum w (p - t), sum w (p - t)^2, sum w |p - t|}
//
// Computed in float64. A row of weight 0 is left out, whatever it holds.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct MomentsParams {};

CK_DECLARE_KERNEL(moments_naive_forward)

}  // namespace convkit
