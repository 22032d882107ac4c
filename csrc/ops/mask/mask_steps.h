// The steps of sequences. For kernel sources only (core/isa.h).
#pragma once

#include "ops/mask/mask.h"

namespace convkit::CK_ISA {

// Number of values in a step of x [N,T,...].
CK_INLINE int64_t step_size(const Tensor& x) {
  int64_t n = 1;
  for (int i = 2; i < x.rank; ++i) n *= x.shape[i];
  return n;
}

}  // namespace convkit::CK_ISA
