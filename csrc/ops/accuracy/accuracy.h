// accuracy: how many rows a prediction gets right.
//
//   forward  p [...,K], t, weight [R] or absent -> result [2] float64
//
//   result = {sum_r weight[r] * match[r], sum_r weight[r]}   (weight 1 where absent)
//   sparse       t int32 [R]:         match = argmax p == t
//   categorical  t of p's shape:      match = argmax p == argmax t
//   binary       t of p's shape:      match = mean_k ((p > threshold) == (t > threshold))
//
// The first of equal values is the argmax, as in NumPy; a NaN is larger than every number.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class Accuracy : int64_t { sparse, categorical, binary };
constexpr const char* kAccuracyNames[] = {"sparse", "categorical", "binary"};

struct AccuracyParams {
  int64_t kind;  // an Accuracy
  double threshold;
};

CK_DECLARE_KERNEL(accuracy_naive_forward)

}  // namespace convkit
