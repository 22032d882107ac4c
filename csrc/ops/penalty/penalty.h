// penalty: what regularisation adds to the loss for large weights or activations.
//
//   forward     x [...] -> total [1] float64
//   backward    x [...] -> total [1] float64, dx [...]
//   accumulate  x [...], g [...] -> total [1] float64     g += dx, in place
//
// total = scale * (l1 * sum |x| + l2 * sum x^2);  dx = scale * (l1 * sign(x) + 2 * l2 * x)
//
// sign(0) is 0, the subgradient of least size. The sums are in double, in chunks of a fixed size.
// l1 alone is the lasso (Tibshirani 1996), l2 alone weight decay (Krogh and Hertz 1992), both
// together the elastic net (Zou and Hastie 2005).
#pragma once

#include "core/kernel.h"

namespace convkit {

struct PenaltyParams {
  double l1, l2;
  double scale;
};

constexpr int64_t kPenaltyChunk = 16384;  // values that one thread takes at a time

CK_DECLARE_KERNEL(penalty_naive_forward)
CK_DECLARE_KERNEL(penalty_naive_backward)
CK_DECLARE_KERNEL(penalty_naive_accumulate)
CK_DECLARE_KERNEL(penalty_simd_forward)
CK_DECLARE_KERNEL(penalty_simd_backward)
CK_DECLARE_KERNEL(penalty_simd_accumulate)

}  // namespace convkit
