// Division by a number that is known when a kernel is launched: a product and a shift.
#pragma once

#include <cstdint>

#include "cuda/runtime.h"

namespace convkit::cuda {

// n / divisor for 0 <= n < 2^31 and 1 <= divisor < 2^31 (Granlund and Montgomery 1994, theorem 4.2:
// with m = ceil(2^(31+l) / d), 2^l >= d, the error m d - 2^(31+l) < 2^l is small enough).
struct FastDivide {
  uint32_t multiplier = uint32_t{1} << 31, divisor = 1;
  int shift = 31;

  FastDivide() = default;
  explicit FastDivide(int64_t d) : divisor(static_cast<uint32_t>(d > 0 ? d : 1)) {
    while ((uint64_t{1} << (shift - 31)) < divisor) ++shift;
    multiplier = static_cast<uint32_t>(((uint64_t{1} << shift) + divisor - 1) / divisor);
  }
  CK_DEVICE int quotient(int n) const {
    return static_cast<int>(uint64_t{static_cast<uint32_t>(n)} * multiplier >> shift);
  }
  // The quotient; n becomes the remainder.
  CK_DEVICE int divide(int& n) const {
    const int q = quotient(n);
    n -= q * static_cast<int>(divisor);
    return q;
  }
};

}  // namespace convkit::cuda
