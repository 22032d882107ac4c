// Elementwise loops over contiguous runs: whole vectors, then the rest of one. For kernel sources
// only (core/isa.h).
#pragma once

#include "simd/vec.h"

namespace convkit::CK_ISA {

// Where a vector of a run is: its first element, and how many of its lanes there are.
template <class T>
struct WholeVector {
  int64_t j;

  CK_INLINE Vec<T> load(const T* p) const { return Vec<T>::loadu(p + j); }
  CK_INLINE void store(T* p, Vec<T> v) const { v.storeu(p + j); }
};

template <class T>
struct RestVector {
  int64_t j;
  int lanes;

  CK_INLINE Vec<T> load(const T* p) const { return Vec<T>::load_partial(p + j, lanes); }
  CK_INLINE void store(T* p, Vec<T> v) const { v.store_partial(p + j, lanes); }
};

// f(at) for the vectors of a run of n elements.
template <class T, class F>
CK_INLINE void each_vector(int64_t n, const F& f) {
  int64_t j = 0;
  for (; j + Vec<T>::kLanes <= n; j += Vec<T>::kLanes) f(WholeVector<T>{j});
  if (j < n) f(RestVector<T>{j, static_cast<int>(n - j)});
}

// f(at) for vector `index` of a run of n elements.
template <class T, class F>
CK_INLINE void one_vector(int64_t n, int64_t index, const F& f) {
  const int64_t j = index * Vec<T>::kLanes;
  if (j + Vec<T>::kLanes <= n) return f(WholeVector<T>{j});
  f(RestVector<T>{j, static_cast<int>(n - j)});
}

}  // namespace convkit::CK_ISA
