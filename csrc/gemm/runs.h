// Short contiguous runs of values. Calls of memcpy and memset would cost more than the work.
// For kernel sources only (core/isa.h).
#pragma once

#include "simd/vec.h"

namespace convkit::CK_ISA {

template <class T>
CK_INLINE void copy_run(const T* from, int64_t n, T* to) {
  using V = Vec<T>;
  for (; n >= V::kLanes; n -= V::kLanes, from += V::kLanes, to += V::kLanes) {
    V::loadu(from).storeu(to);
  }
  if (n > 0) V::load_partial(from, static_cast<int>(n)).store_partial(to, static_cast<int>(n));
}

template <class T>
CK_INLINE void add_run(const T* from, int64_t n, T* to) {
  using V = Vec<T>;
  for (; n >= V::kLanes; n -= V::kLanes, from += V::kLanes, to += V::kLanes) {
    (V::loadu(to) + V::loadu(from)).storeu(to);
  }
  const int rest = static_cast<int>(n);
  if (n > 0) (V::load_partial(to, rest) + V::load_partial(from, rest)).store_partial(to, rest);
}

template <class T>
CK_INLINE void clear_run(T* to, int64_t n) {
  using V = Vec<T>;
  for (; n >= V::kLanes; n -= V::kLanes, to += V::kLanes) V::zero().storeu(to);
  if (n > 0) V::zero().store_partial(to, static_cast<int>(n));
}

}  // namespace convkit::CK_ISA
