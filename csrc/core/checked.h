// Sizes computed from shapes and parameters, which may be of any magnitude where nothing of that
// size exists yet. Operands are not negative; a result too large to plan with is kTooLarge and
// stays so in further sums and products, and round_up and ceil_div of it do not overflow.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace convkit {

constexpr int64_t kTooLarge = int64_t{1} << 62;

CK_HOST_INLINE int64_t checked_product(int64_t a, int64_t b) {
  int64_t c = 0;
  return __builtin_mul_overflow(a, b, &c) || c > kTooLarge ? kTooLarge : c;
}
template <class... More>
CK_HOST_INLINE int64_t checked_product(int64_t a, int64_t b, More... more) {
  // A 0 anywhere makes 0, whatever stands before it.
  if (((more == 0) || ...)) return 0;
  return checked_product(checked_product(a, b), more...);
}

CK_HOST_INLINE int64_t checked_sum(int64_t a, int64_t b) {
  int64_t c = 0;
  return __builtin_add_overflow(a, b, &c) || c > kTooLarge ? kTooLarge : c;
}
template <class... More>
CK_HOST_INLINE int64_t checked_sum(int64_t a, int64_t b, More... more) {
  return checked_sum(checked_sum(a, b), more...);
}

}  // namespace convkit
