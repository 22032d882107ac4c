// What rows of gather_rows have in common. For kernel sources only (core/isa.h).
#pragma once

#include "ops/gather_rows/gather_rows.h"

namespace convkit::CK_ISA {

// Calls f with values of the C++ types of the source and of y.
template <class F>
CK_HOST_INLINE void dispatch_gather(const Call& call, const F& f) {
  dispatch_number(call[0].dtype, [&](auto s) {
    switch (call[2].dtype) {
      case Dtype::float32:
        return f(s, float{});
      case Dtype::float64:
        return f(s, double{});
      default:
        return f(s, int32_t{});
    }
  });
}

// Values of a row.
CK_INLINE int64_t row_length(const Tensor& y) { return y.shape[0] ? y.size() / y.shape[0] : 0; }

}  // namespace convkit::CK_ISA
