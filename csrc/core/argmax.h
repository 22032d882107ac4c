// The position of the largest value, as NumPy finds it.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace convkit {

// The first of equal values wins; the first NaN ends the search. Comparisons with a NaN are false.
template <class T>
CK_INLINE int64_t argmax(const T* p, int64_t k) {
  int64_t best = 0;
  for (int64_t j = 0; j < k; ++j) {
    if (p[j] != p[j]) return j;
    if (p[j] > p[best]) best = j;
  }
  return best;
}

}  // namespace convkit
