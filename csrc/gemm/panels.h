// The operand of a matrix product that is read as vectors, packed for tiles (gemm/tile.h).
// For kernel sources only (core/isa.h).
#pragma once

#include <utility>

#include "core/kernel.h"
#include "gemm/tile.h"

namespace convkit::CK_ISA {

// One step of the transpose of a square: rows i and i + S swap the quarters that are off the
// diagonal of each block of 2S lanes.
template <int S, class Raw, int... I>
CK_INLINE void swap_quarters(Raw& a, Raw& b, std::integer_sequence<int, I...>) {
  constexpr int lanes = sizeof...(I);
  const Raw low = __builtin_shufflevector(a, b, ((I & S) != 0 ? lanes + I - S : I)...);
  b = __builtin_shufflevector(a, b, ((I & S) != 0 ? lanes + I : I + S)...);
  a = low;
}

template <int S, class T>
CK_INLINE void transpose_steps(Vec<T>* rows) {
  constexpr int lanes = Vec<T>::kLanes;
  if constexpr (S < lanes) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if ((i & S) == 0) {
        swap_quarters<S>(rows[i].v, rows[i + S].v, std::make_integer_sequence<int, lanes>{});
      }
    }
    transpose_steps<2 * S, T>(rows);
  }
}

// to[j*to_ld + i] = from[i*from_ld + j] for i < rows, j < columns, both at most one vector; where
// rows is less, zeros fill the vectors of `to`.
template <class T>
CK_INLINE void transpose_block(const T* from, int64_t from_ld, int64_t rows, int64_t columns, T* to,
                               int64_t to_ld) {
  using V = Vec<T>;
  V block[V::kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < V::kLanes; ++i) {
    if (i >= rows) {
      block[i] = V::zero();
    } else if (columns == V::kLanes) {
      block[i] = V::loadu(from + i * from_ld);
    } else {
      block[i] = V::load_partial(from + i * from_ld, static_cast<int>(columns));
    }
  }
  transpose_steps<1, T>(block);
#pragma GCC unroll 16
  for (int i = 0; i < V::kLanes; ++i) {
    if (i < columns) block[i].storeu(to + i * to_ld);
  }
}

// The same for a whole square, without a branch.
template <class T>
void transpose_square(const T* from, int64_t from_ld, T* to, int64_t to_ld) {
  using V = Vec<T>;
  V block[V::kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < V::kLanes; ++i) block[i] = V::loadu(from + i * from_ld);
  transpose_steps<1, T>(block);
#pragma GCC unroll 16
  for (int i = 0; i < V::kLanes; ++i) block[i].storeu(to + i * to_ld);
}

// The same, where no vector of `to` may be written beyond its `rows` values.
template <class T>
CK_INLINE void transpose_whole(const T* from, int64_t from_ld, int64_t rows, int64_t columns, T* to,
                               int64_t to_ld) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  if (rows == lanes) return transpose_block(from, from_ld, rows, columns, to, to_ld);
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) to[j * to_ld + i] = from[i * from_ld + j];
  }
}

// The columns of a matrix [rows, columns] in panels of up to kVectors vectors, one panel after
// the other, the last one padded with zeros to whole vectors.
template <class T, int kVectors = kTileVectors<T>>
struct Panels {
  static constexpr int64_t kLanes = Vec<T>::kLanes;
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

  // Copies one panel of a row-major matrix, whose rows are ld apart, or neighbours.
  CK_INLINE void pack(int64_t panel, const T* matrix, T* packed) const {
    pack(panel, matrix, columns, packed);
  }
  CK_INLINE void pack(int64_t panel, const T* matrix, int64_t ld, T* packed) const {
    using V = Vec<T>;
    const int last = last_lanes(panel);
    const T* from = matrix + first(panel);
    T* to = packed + offset(panel);
    with_int<kVectors>(vectors(panel), [&]<int NV>(Int<NV>) {
      for (int64_t i = 0; i < rows; ++i, from += ld, to += NV * kLanes) {
        for (int v = 0; v < NV - 1; ++v) V::loadu(from + v * kLanes).storeu(to + v * kLanes);
        V::load_partial(from + (NV - 1) * kLanes, last).storeu(to + (NV - 1) * kLanes);
      }
    });
  }

  // Copies `count` rows of one panel, from row `row` on, of a matrix that is stored transposed,
  // its columns `count` or ld apart.
  CK_INLINE void pack_transposed(int64_t panel, int64_t row, int64_t count, const T* matrix,
                                 T* packed) const {
    pack_transposed(panel, row, count, matrix, count, packed);
  }
  CK_INLINE void pack_transposed(int64_t panel, int64_t row, int64_t count, const T* matrix,
                                 int64_t ld, T* packed) const {
    const int64_t wide = width(panel), begin = first(panel);
    T* const to = packed + offset(panel) + row * wide;
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t rows_left = count - i < kLanes ? count - i : kLanes;
      for (int64_t j = 0; j < wide; j += kLanes) {
        const int64_t left = columns - begin - j;
        transpose_block(matrix + (begin + j) * ld + i, ld, left < kLanes ? left : kLanes, rows_left,
                        to + i * wide + j, wide);
      }
    }
  }
};

}  // namespace convkit::CK_ISA
