// softmax and log_softmax over the last axis, with the row's maximum subtracted.
//
//   forward       x [...,K]             -> y [...,K] = exp(x - max) / sum exp(x - max)
//   backward      dy [...,K], y [...,K] -> dx = y * (dy - sum dy*y)
//   log_forward   x [...,K]             -> y [...,K] = x - max - log sum exp(x - max)
//   log_backward  dy [...,K], y [...,K] -> dx = dy - exp(y) * sum dy
//
// A row with NaN or +inf gives NaN; a row of -inf only gives NaN, as in NumPy's arithmetic.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct SoftmaxParams {};

CK_DECLARE_KERNEL(softmax_naive_forward)
CK_DECLARE_KERNEL(softmax_naive_backward)
CK_DECLARE_KERNEL(softmax_naive_log_forward)
CK_DECLARE_KERNEL(softmax_naive_log_backward)
CK_DECLARE_KERNEL(softmax_simd_forward)
CK_DECLARE_KERNEL(softmax_simd_backward)
CK_DECLARE_KERNEL(softmax_simd_log_forward)
CK_DECLARE_KERNEL(softmax_simd_log_backward)

}  // namespace convkit
