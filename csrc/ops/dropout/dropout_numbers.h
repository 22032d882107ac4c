// What a rate means. For kernel sources only (core/isa.h).
#pragma once

#include "ops/dropout/dropout.h"

namespace convkit::CK_ISA {

// What is kept is multiplied with it.
template <class T>
CK_HOST_INLINE T dropout_scale(const DropoutParams& params) {
  return static_cast<T>(1.0 / (1.0 - params.rate));
}

// A uniform number is a 24-bit integer k / 2^24: k / 2^24 >= rate where k >= ceil(rate * 2^24).
CK_HOST_INLINE int32_t dropout_threshold(const DropoutParams& params) {
  return static_cast<int32_t>(__builtin_ceil(params.rate * 16777216.0));
}

}  // namespace convkit::CK_ISA
