// What is copied at once. For kernel sources only (core/isa.h).
#pragma once

#include "ops/concatenate/concatenate.h"

namespace convkit::CK_ISA {

// In C order an array is `outer` runs, each holding the axes from `axis` on.
struct Runs {
  int64_t outer;
  int64_t bytes;
};

CK_INLINE Runs runs_of(const Tensor& t, int64_t axis) {
  int64_t outer = 1, bytes = t.dtype == Dtype::float64 ? 8 : 4;
  for (int64_t i = 0; i < axis; ++i) outer *= t.shape[i];
  for (int64_t i = axis; i < t.rank; ++i) bytes *= t.shape[i];
  return {outer, bytes};
}

}  // namespace convkit::CK_ISA
