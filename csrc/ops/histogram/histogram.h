// histogram: how the scores of positives and of negatives lie between thresholds. Counts of true
// and false positives at every threshold are its sums from the upper end.
//
//   forward  p [...,K], t, thresholds [T], weight [R] or absent -> counts [G,T+1,2] float64
//
//   counts[g,b,c] = sum of weight[r] over the values p[r,k] of group g in bin b that are negative
//                   (c = 0) or positive (c = 1)
//   bin            the number of thresholds, which rise, that are less than the value; a NaN is in
//                  bin 0
//   positive       t[r,k] > 0 for t of p's shape, k == t[r] for t int32 [R]
//   column >= 0    only the values of that column count; G = 1
//   column = -1    all do; per_class: one group for each column, G = K; otherwise G = 1
//   top_k > 0      a value with top_k larger ones in its row, or equal ones before it, is in bin 0
#pragma once

#include "core/kernel.h"

namespace convkit {

struct HistogramParams {
  int64_t per_class;
  int64_t column;
  int64_t top_k;
};

CK_DECLARE_KERNEL(histogram_naive_forward)

}  // namespace convkit
