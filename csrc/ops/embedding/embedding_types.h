// What rows of embedding have in common. For kernel sources only (core/isa.h).
#pragma once

#include "ops/embedding/embedding.h"

namespace convkit::CK_ISA {

// Calls f with values of the C++ types of the index and of the table.
template <class F>
CK_HOST_INLINE void dispatch_embedding(Dtype index, Dtype table, const F& f) {
  dispatch_float(table, [&](auto t) { dispatch_number(index, [&, t](auto i) { f(i, t); }); });
}

}  // namespace convkit::CK_ISA
