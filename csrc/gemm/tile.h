// The inner loop of convolutions and dense layers: a tile of a matrix product that stays in
// registers. For kernel sources only (core/isa.h).
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
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[m][v] = V::zero();
    }
  }

  // Rows [first, first + Rows) from or to memory, ld apart, of whose last vector `last` lanes
  // exist.
  template <int Rows = MR, bool Add = false>
  CK_INLINE void load(int first, const T* from, int64_t ld, int last) {
#pragma GCC unroll 32
    for (int m = first; m < first + Rows; ++m, from += ld) {
#pragma GCC unroll 4
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
#pragma GCC unroll 4
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

  // acc[m][v] += sum over i < depth of a[row(m) + i*a_step] * b[i*b_step + v*lanes ...]. Calls
  // each(i, the vectors of B) on the way. Two terms a turn leave the counting unnoticed.
  template <class Row, class Each>
  CK_INLINE void multiply(const T* a, const Row& row, int64_t a_step, const T* b, int64_t b_step,
                          int64_t depth, const Each& each) {
#pragma GCC unroll 2
    for (int64_t i = 0; i < depth; ++i) {
      V bv[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) bv[v] = V::loadu(b + i * b_step + v * V::kLanes);
      each(i, bv);
#pragma GCC unroll 32
      for (int m = 0; m < MR; ++m) {
        const V av = V::broadcast(a[row(m) + i * a_step]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[m][v] = fma(av, bv[v], acc[m][v]);
      }
    }
  }
  template <class Row>
  CK_INLINE void multiply(const T* a, const Row& row, int64_t a_step, const T* b, int64_t b_step,
                          int64_t depth) {
    multiply(a, row, a_step, b, b_step, depth, [](int64_t, const V*) {});
  }
};

}  // namespace convkit::CK_ISA
