// confusion: how often each class was taken for each other one.
//
//   forward  p [...,K], t, weight [R] or absent -> counts [C,C] float64
//
//   counts[i,j] = sum of weight[r] over the rows of true class i and predicted class j
//   K > 1: C = K; predicted: argmax p; true: t int32 [R], or argmax t for t of p's shape
//   K = 1: C = 2; predicted: p > threshold; true: t > 0, for t of p's shape
//
// The first of equal values is the argmax, as in NumPy; a NaN is larger than every number.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct ConfusionParams {
  double threshold;
};

CK_DECLARE_KERNEL(confusion_naive_forward)

}  // namespace convkit
