// dropout: keeps an element with probability 1 - rate and scales it by 1/(1 - rate).
//
//   forward   x [...]  -> y [...]
//   backward  dy [...] -> dx [...]
//
// Element i (in C order) is kept where philox_uniform(seed, stream, step, i) >= rate, with seed and
// step from the step block: the mask is a function of numbers, so that backward recomputes it and
// every device draws the same one. y may be x, dx may be dy.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct DropoutParams {
  double rate;     // 0 <= rate < 1
  int64_t stream;  // tells the dropout layers of a model apart
};

CK_DECLARE_KERNEL(dropout_naive)
CK_DECLARE_KERNEL(dropout_simd)

}  // namespace convkit
