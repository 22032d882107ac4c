// A loop of independent multiply-adds, to find an ISA's peak rate.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace convkit {

#define CK_DECLARE_PEAK(isa)            \
  namespace isa {                       \
  double fma_burst(int64_t iterations); \
  }
CK_DECLARE_PEAK(baseline)
#if CK_ISA_COUNT == 3
CK_DECLARE_PEAK(avx2)
CK_DECLARE_PEAK(avx512)
#endif
#undef CK_DECLARE_PEAK

// Floating-point operations of one iteration, by ISA: 12 accumulators, two operations a lane.
constexpr int64_t fma_burst_flops(Isa isa) {
  return 12 * 2 * (isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4);
}

}  // namespace convkit
