// The inner loop of convolutions: a tile of a matrix product that stays in registers, and the
// packing of the operand that it reads as vectors. For kernel sources only (core/isa.h).
#pragma once

#include "core/kernel.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {

// A tile is MR rows of NV vectors. These sizes leave room for the vectors of B among the 32
// registers of AVX-512, or the 16 of the others, and hide the latency of the multiply-add. float64
// is there to check: it gets by with fewer tiles, as each is code.
template <class T>
constexpr int kTileVectors = sizeof(T) > 4       ? 1
                             : CK_ISA_LEVEL == 2 ? 4
                                                 : 2;
template <class T>
constexpr int tile_rows(int vectors) {
  if (sizeof(T) > 4) return 8;
  if (CK_ISA_LEVEL == 2) return vectors <= 2 ? 14 : vectors == 3 ? 8 : 6;
  return vectors == 1 ? 10 : 6;
}

template <int N>
struct Int {
  static constexpr int value = N;
};

// f(Int<n>) for an n in [1, Max] known at run time.
template <int Max, class F>
CK_INLINE void with_int(int n, const F& f) {
  if constexpr (Max > 1) {
    if (n < Max) return with_int<Max - 1>(n, f);
  }
  f(Int<Max>{});
}

// Cuts n into tiles of nearly equal size, at most `most` each: f(begin, size).
template <class F>
CK_INLINE void for_each_tile(int64_t n, int64_t most, const F& f) {
  const int64_t tiles = ceil_div(n, most);
  for (int64_t t = 0, begin = 0; t < tiles; ++t) {
    const int64_t size = n / tiles + (t < n % tiles ? 1 : 0);
    f(begin, static_cast<int>(size));
    begin += size;
  }
}

// The loops over rows are unrolled by order: left to itself GCC stops at 16.
template <class T, int MR, int NV>
struct Tile {
  using V = Vec<T>;
  V acc[MR][NV];

  CK_INLINE void clear() {
#pragma GCC unroll 32
    for (int m = 0; m < MR; ++m) {
      for (int v = 0; v < NV; ++v) acc[m][v] = V::zero();
    }
  }

  // Rows [first, first + Rows) from or to memory, ld apart, of whose last vector `last` lanes
  // exist.
  template <int Rows = MR, bool Add = false>
  CK_INLINE void load(int first, const T* from, int64_t ld, int last) {
#pragma GCC unroll 32
    for (int m = first; m < first + Rows; ++m, from += ld) {
      for (int v = 0; v < NV; ++v) {
        const T* const at = from + v * V::kLanes;
        const bool whole = v < NV - 1 || last == V::kLanes;
        const V value = whole ? V::loadu(at) : V::load_partial(at, last);
        acc[m][v] = Add ? acc[m][v] + value : value;
      }
    }
  }
  template <int Rows = MR>
  CK_INLINE void store(int first, T* to, int64_t ld, int last) const {
#pragma GCC unroll 32
    for (int m = first; m < first + Rows; ++m, to += ld) {
      for (int v = 0; v < NV; ++v) {
        T* const at = to + v * V::kLanes;
        if (v < NV - 1 || last == V::kLanes) {
          acc[m][v].storeu(at);
        } else {
          acc[m][v].store_partial(at, last);
        }
      }
    }
  }

  // acc[m][v] += sum over i < depth of a[row(m) + i*a_step] * b[i*b_step + v*lanes ...].
  template <class Row>
  CK_INLINE void multiply(const T* a, const Row& row, int64_t a_step, const T* b, int64_t b_step,
                          int64_t depth) {
    for (int64_t i = 0; i < depth; ++i) {
      V bv[NV];
      for (int v = 0; v < NV; ++v) bv[v] = V::loadu(b + i * b_step + v * V::kLanes);
#pragma GCC unroll 32
      for (int m = 0; m < MR; ++m) {
        const V av = V::broadcast(a[row(m) + i * a_step]);
        for (int v = 0; v < NV; ++v) acc[m][v] = fma(av, bv[v], acc[m][v]);
      }
    }
  }
};

// The columns of a matrix [rows, columns] in panels of up to kTileVectors vectors, one panel after
// the other, the last one padded with zeros to whole vectors.
template <class T>
struct Panels {
  static constexpr int64_t kLanes = Vec<T>::kLanes;
  static constexpr int64_t kVectors = kTileVectors<T>;
  static constexpr int64_t kWidth = kVectors * kLanes;
  int64_t rows, columns;

  CK_INLINE int64_t count() const { return ceil_div(columns, kWidth); }
  CK_INLINE int64_t first(int64_t panel) const { return panel * kWidth; }  // its first column
  CK_INLINE int vectors(int64_t panel) const {
    const int64_t left = ceil_div(columns - first(panel), kLanes);
    return static_cast<int>(left < kVectors ? left : kVectors);
  }
  CK_INLINE int64_t width(int64_t panel) const { return vectors(panel) * kLanes; }
  CK_INLINE int64_t offset(int64_t panel) const { return first(panel) * rows; }
  // How many lanes of the panel's last vector hold columns.
  CK_INLINE int last_lanes(int64_t panel) const {
    const int64_t left = columns - first(panel) - (vectors(panel) - 1) * kLanes;
    return static_cast<int>(left < kLanes ? left : kLanes);
  }

  // Copies one panel of a row-major matrix.
  CK_INLINE void pack(int64_t panel, const T* matrix, T* packed) const {
    const int64_t wide = width(panel), begin = first(panel);
    const int64_t used = columns - begin < wide ? columns - begin : wide;
    T* to = packed + offset(panel);
    for (int64_t i = 0; i < rows; ++i, to += wide) {
      const T* const from = matrix + i * columns + begin;
      for (int64_t j = 0; j < used; ++j) to[j] = from[j];
      for (int64_t j = used; j < wide; ++j) to[j] = 0;
    }
  }

  // Copies `count` rows of one panel, from row `row` on, of a matrix that is stored transposed.
  CK_INLINE void pack_transposed(int64_t panel, int64_t row, int64_t count, const T* matrix,
                                 T* packed) const {
    constexpr int64_t kBlock = 16;  // so that what is written stays in the nearest cache
    const int64_t wide = width(panel), begin = first(panel);
    const int64_t used = columns - begin < wide ? columns - begin : wide;
    T* const to = packed + offset(panel) + row * wide;
    for (int64_t i0 = 0; i0 < count; i0 += kBlock) {
      const int64_t i1 = i0 + kBlock < count ? i0 + kBlock : count;
      for (int64_t j = 0; j < used; ++j) {
        const T* const from = matrix + (begin + j) * count;
        for (int64_t i = i0; i < i1; ++i) to[i * wide + j] = from[i];
      }
      for (int64_t i = i0; i < i1; ++i) {
        for (int64_t j = used; j < wide; ++j) to[i * wide + j] = 0;
      }
    }
  }
};

}  // namespace convkit::CK_ISA
