// Which row of a table a number means. For kernel sources only (core/isa.h).
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/isa.h"

namespace convkit::CK_ISA {

// The row of a table of v rows that an index means, or -1 if it means none.
template <class I>
CK_INLINE int64_t row_of(I index, int64_t v) {
  if constexpr (std::is_floating_point_v<I>) {
    if (!(index >= 0 && static_cast<double>(index) < static_cast<double>(v))) return -1;
    const int64_t row = static_cast<int64_t>(index);
    return static_cast<I>(row) == index ? row : -1;
  } else {
    const int64_t row = static_cast<int64_t>(index);
    return row >= 0 && row < v ? row : -1;
  }
}

}  // namespace convkit::CK_ISA
