// accuracy: how many rows a prediction gets right.
//
//   forward  p [...,K], t, weight [R] or absent -> result [2] float64
//
//   result = {sum_r weight[r] * match[r], sum_r weight[r]}   (weight 1 where absent)
//   sparse             t int32 [R]:     match = argmax p == t
//   categorical        t of p's shape:  match = argmax p == argmax t
//   binary             t of p's shape:  match = mean_k ((p > threshold) == (t > threshold))
//   equal              t of p's shape:  match = mean_k (p == t)
//   sparse_top_k       t int32 [R]:     match = fewer than top_k values are larger than p[t]
//   categorical_top_k  t of p's shape:  the same, with argmax t for t
//
// The first of equal values is the argmax, as in NumPy; a NaN is larger than every number. In the
// top-k kinds ties are in favour of the target, and a target's NaN counts as -inf.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class Accuracy : int64_t {
  sparse,
  categorical,
  binary,
  equal,
  sparse_top_k,
  categorical_top_k
};
constexpr const char* kAccuracyNames[] = {"sparse", "categorical",  "binary",
                                          "equal",  "sparse_top_k", "categorical_top_k"};

struct AccuracyParams {
  int64_t kind;  // an Accuracy
  double threshold;
  int64_t top_k;
};

CK_DECLARE_KERNEL(accuracy_naive_forward)

}  // namespace convkit
