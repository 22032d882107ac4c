// Whether numbers are finite: what a training step asks of its gradients before it changes weights.
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
};

// Whether none of them is NaN or infinite.
#define CK_DECLARE_FINITE(isa)           \
  namespace isa {                        \
  bool all_finite(const NumberRun& run); \
  }
CK_DECLARE_FINITE(baseline)
#if CK_ISA_COUNT == 3
CK_DECLARE_FINITE(avx2)
CK_DECLARE_FINITE(avx512)
#endif
#undef CK_DECLARE_FINITE

}  // namespace convkit
