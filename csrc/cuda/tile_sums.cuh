// Sums over the terms of two matrices, in tiles, for any formula of a term and both dtypes: the
// plain way to a product of matrices. cuda/gemm.cuh is the fast one, for products in float32.
//
// A block of 256 threads makes a tile of 64 x 64, a thread 4 x 4 of it, 16 terms at a time.
#pragma once

#include "core/kernel.h"
#include "cuda/launch.cuh"

namespace convkit::cuda {

constexpr int kTileLines = 64, kTileTerms = 16;

inline unsigned tiles_of(int64_t lines) {
  return static_cast<unsigned>(ceil_div(lines, kTileLines));
}

// A matrix of lines, which are rows or columns of the result, by terms of the sums.
template <class T>
struct Factor {
  const T* data;
  int64_t ld;
  int64_t lines;
  bool ones = false;  // one more line, of ones

  CK_INLINE int64_t count() const { return ones ? lines + 1 : lines; }
};

// kTermsAlong: a line's terms are neighbours in memory; else the lines of a term are. Beyond the
// matrix there are zeros.
template <bool kTermsAlong, class T>
CK_DEVICE void load_tile(const Factor<T>& from, int64_t first, int64_t term, int64_t terms,
                         T (&to)[kTileTerms][kTileLines + 4]) {
  const int thread = static_cast<int>(threadIdx.x);
  CK_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int k = kTermsAlong ? thread % 16 : thread / 64 + 4 * i;
    const int row = kTermsAlong ? thread / 16 + 16 * i : thread % 64;
    const int64_t line = first + row, at = term + k;
    T value = T(0);
    if (at < terms) {
      if (line < from.lines) {
        value = from.data[kTermsAlong ? line * from.ld + at : at * from.ld + line];
      }
      if (line == from.lines && from.ones) value = T(1);
    }
    to[k][row] = value;
  }
}

// The terms of a product of matrices.
struct Products {
  template <class T>
  CK_DEVICE T own(int64_t, int64_t) const {
    return T(0);
  }
  template <class T>
  CK_DEVICE T add(T sum, T a, T b, T) const {
    return sum + a * b;
  }
};

// put(row, column, sum) for each result of the tile that begins at `row` and `column`. A sum is
// add(sum, a, b, own) of its terms [begin, end), in their order, with what own(row, column) gives.
template <bool kLeftTermsAlong, bool kRightTermsAlong, class T, class Terms, class Put>
CK_DEVICE void tile_sums(const Factor<T>& left, const Factor<T>& right, int64_t row, int64_t column,
                         int64_t begin, int64_t end, const Terms& terms, const Put& put) {
  CK_SHARED(T, a, [kTileTerms][kTileLines + 4]);
  CK_SHARED(T, b, [kTileTerms][kTileLines + 4]);
  const int m = static_cast<int>(threadIdx.x) / 16 * 4, n = static_cast<int>(threadIdx.x) % 16 * 4;
  const auto inside = [&](int i, int j) {
    return row + m + i < left.count() && column + n + j < right.lines;
  };
  T sums[4][4] = {}, own[4][4];
  CK_UNROLL
  for (int i = 0; i < 4; ++i) {
    CK_UNROLL
    for (int j = 0; j < 4; ++j) {
      own[i][j] = inside(i, j) ? terms.template own<T>(row + m + i, column + n + j) : T(0);
    }
  }
  for (int64_t term = begin; term < end; term += kTileTerms) {
    load_tile<kLeftTermsAlong>(left, row, term, end, a);
    load_tile<kRightTermsAlong>(right, column, term, end, b);
    __syncthreads();
    CK_UNROLL
    for (int k = 0; k < kTileTerms; ++k) {
      CK_UNROLL
      for (int i = 0; i < 4; ++i) {
        CK_UNROLL
        for (int j = 0; j < 4; ++j) {
          sums[i][j] = terms.add(sums[i][j], a[k][m + i], b[k][n + j], own[i][j]);
        }
      }
    }
    __syncthreads();
  }
  CK_UNROLL
  for (int i = 0; i < 4; ++i) {
    CK_UNROLL
    for (int j = 0; j < 4; ++j) {
      if (inside(i, j)) put(row + m + i, column + n + j, sums[i][j]);
    }
  }
}

}  // namespace convkit::cuda
