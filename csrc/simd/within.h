// Whether numbers are within bounds: what a training step asks before it changes weights.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "core/tensor.h"

namespace convkit {

// A run of n numbers, float32 or float64.
struct NumberRun {
  const void* data = nullptr;
  int64_t n = 0;
  Dtype dtype = Dtype::float32;
  double limit = 0;
};

// Whether every |x| <= limit, infinity for: neither NaN nor infinite.
#define CK_DECLARE_WITHIN(isa)           \
  namespace isa {                        \
  bool all_within(const NumberRun& run); \
  }
CK_DECLARE_WITHIN(baseline)
#if CK_ISA_COUNT == 3
CK_DECLARE_WITHIN(avx2)
CK_DECLARE_WITHIN(avx512)
#endif
#undef CK_DECLARE_WITHIN

}  // namespace convkit
