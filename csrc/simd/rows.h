// Row-wise kernels over [R, K], written once for two layouts of the data in vectors:
//
//   Across  a block of up to kLanes rows, one per lane; K vectors. For short rows, which would
//           leave most of a vector empty. Operands are transposed through the stack.
//   Along   one row; lane l of vector j is element j * kLanes + l. Of the last, a part may count.
//
//   for_each_block<T>(pool, rows, k, [&](const auto& block) { ... });
//
// K alone chooses the layout and no lane depends on its place, so a row has the same result in any
// batch. `block.each(f)` calls f(at) for every vector; operands are read and written by `at`, and
// block.sum and block.max finish a reduction of vectors over the row.
#pragma once

#include "core/kernel.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {

template <class T>
using Lane = typename raw::Types<T>::IntLane;

template <class T>
struct Across {
  using V = Vec<T>;
  using Int = typename V::Int;
  static constexpr int kLanes = V::kLanes;
  static constexpr int64_t kMaxK = kVecBytes <= 32 ? 24 : 32;

  int64_t row, k;
  int rows;  // of the kLanes, those in use

  struct At {
    int64_t k;
  };
  template <class F>
  CK_INLINE void each(const F& f) const {
    for (int64_t j = 0; j < k; ++j) f(At{j});
  }
  CK_INLINE V sum(V v) const { return v; }
  CK_INLINE V max(V v) const { return v; }
  CK_INLINE V only(At, V v, V) const { return v; }
  CK_INLINE Int index(At at) const { return Int{} + static_cast<Lane<T>>(at.k); }

  // One value per row.
  CK_INLINE V load_row_values(const T* p) const {
    return rows == kLanes ? V::loadu(p + row) : V::load_partial(p + row, rows);
  }
  CK_INLINE void store_row_values(T* p, V v) const {
    if (rows == kLanes) return v.storeu(p + row);
    v.store_partial(p + row, rows);
  }
  CK_INLINE Int load_labels(const int32_t* p) const {
    Int labels{};
    for (int r = 0; r < rows; ++r) labels[r] = p[row + r];
    return labels;
  }

  // An operand that is read. The lanes of absent rows repeat the first row.
  struct In {
    alignas(kVecBytes) T columns[kMaxK * kLanes];

    CK_INLINE In(const Across& b, const T* p) {
      const T* x = p + b.row * b.k;
      for (int64_t j = 0; j < b.k; ++j) {
        V v;
        for (int r = 0; r < kLanes; ++r) v.v[r] = x[(r < b.rows ? r : 0) * b.k + j];
        v.store(columns + j * kLanes);
      }
    }
    CK_INLINE V operator()(At at, T = T(0)) const { return V::load(columns + at.k * kLanes); }
  };

  // One that is written, and may be read again. It reaches memory with the destructor.
  struct Out {
    alignas(kVecBytes) T columns[kMaxK * kLanes];
    const Across& b;
    T* y;

    CK_INLINE Out(const Across& block, T* p) : b(block), y(p + block.row * block.k) {}
    CK_INLINE ~Out() {
      for (int r = 0; r < b.rows; ++r) {
        for (int64_t j = 0; j < b.k; ++j) y[r * b.k + j] = columns[j * kLanes + r];
      }
    }
    CK_INLINE V operator()(At at) const { return V::load(columns + at.k * kLanes); }
    CK_INLINE void set(At at, V v) { v.store(columns + at.k * kLanes); }
  };
};

template <class T>
struct Along {
  using V = Vec<T>;
  using Int = typename V::Int;
  static constexpr int kLanes = V::kLanes;
  static_assert(Across<T>::kMaxK >= kLanes);  // so that here k >= kLanes

  int64_t row, k;

  struct Full {
    int64_t j;
  };
  // The rest of the row sits in the last lanes of the vector that ends where the row does. That is
  // cheaper than a partial access; the other lanes have had their turn and are left alone.
  struct Rest {
    int64_t j;
    Mask<T> rest;
  };
  template <class F>
  CK_INLINE void each(const F& f) const {
    int64_t j = 0;
    for (; j + kLanes <= k; j += kLanes) f(Full{j});
    if (j == k) return;
    f(Rest{k - kLanes, {raw::Types<T>::kIota >= static_cast<Lane<T>>(j - (k - kLanes))}});
  }
  CK_INLINE V sum(V v) const { return V(reduce_sum(v)); }
  CK_INLINE V max(V v) const { return V(reduce_max(v)); }
  // v, but `otherwise` in the lanes that do not count.
  CK_INLINE V only(Full, V v, V) const { return v; }
  CK_INLINE V only(Rest at, V v, V otherwise) const { return select(at.rest, v, otherwise); }
  template <class At>
  CK_INLINE Int index(At at) const {
    return raw::Types<T>::kIota + static_cast<Lane<T>>(at.j);
  }

  CK_INLINE V load_row_values(const T* p) const { return V(p[row]); }
  CK_INLINE void store_row_values(T* p, V v) const { p[row] = v[0]; }
  CK_INLINE Int load_labels(const int32_t* p) const { return Int{} + Lane<T>{p[row]}; }

  struct In {
    const T* x;

    CK_INLINE In(const Along& block, const T* p) : x(p + block.row * block.k) {}
    CK_INLINE V operator()(Full at, T = T(0)) const { return V::loadu(x + at.j); }
    CK_INLINE V operator()(Rest at, T otherwise = T(0)) const {
      return select(at.rest, V::loadu(x + at.j), V(otherwise));
    }
  };

  struct Out {
    T* y;

    CK_INLINE Out(const Along& block, T* p) : y(p + block.row * block.k) {}
    template <class At>
    CK_INLINE V operator()(At at) const {
      return V::loadu(y + at.j);
    }
    CK_INLINE void set(Full at, V v) const { v.storeu(y + at.j); }
    CK_INLINE void set(Rest at, V v) const { select(at.rest, v, (*this)(at)).storeu(y + at.j); }
  };
};

// Calls f(block) for all rows, threaded; f is generic, for the layout is one of two types.
template <class T, class F>
CK_INLINE void for_each_block(ThreadPool* pool, int64_t rows, int64_t k, const F& f) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  if (k <= 0) return;
  const Chunks chunks{rows, round_up(ceil_div(16384, k), lanes)};
  if (k <= Across<T>::kMaxK) {
    pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      const int64_t end = chunks.end(chunk);
      for (int64_t r = chunks.begin(chunk); r < end; r += lanes) {
        f(Across<T>{r, k, static_cast<int>(end - r < lanes ? end - r : lanes)});
      }
    });
  } else {
    pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) f(Along<T>{r, k});
    });
  }
}

}  // namespace convkit::CK_ISA
