// A matrix product A B^T of two matrices whose rows are the terms of the sums. For kernel sources
// only (core/isa.h).
//
// The larger operand, A, is read as it is, once for up to kDotColumns rows of B. It is the smaller
// one that is transposed into panels, and then the result, a block at a time.
#pragma once

#include "gemm/product.h"

namespace convkit::CK_ISA {

// C [N,M] = B A^T with A [M,depth] and B [N,depth]: C[n,m] is the dot product of row m of A and
// row n of B.
template <class T>
struct DotProduct {
  int64_t M, N, depth;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  T* c;
  int64_t ldc;
};

// For so few rows of B the sums run along the vectors: packing would leave lanes empty.
constexpr int64_t kDotRows = 8;

constexpr int64_t kDotColumns = 128, kDotTerms = 1024;
template <class T>
constexpr int64_t kDotBlock = 384 / int64_t{sizeof(T)};

// MR rows of A times NR of B, NR <= 4: vectors of partial sums, added up at the end.
template <class T, int MR, int NR>
void dot_tile(const T* a, int64_t lda, const T* b, int64_t ldb, int64_t depth, T* c, int64_t ldc) {
  using V = Vec<T>;
  V acc[NR][MR];
#pragma GCC unroll 4
  for (int n = 0; n < NR; ++n) {
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) acc[n][m] = V::zero();
  }
  const auto add = [&](const auto& load) {
    V av[MR];
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) av[m] = load(a + m * lda);
#pragma GCC unroll 4
    for (int n = 0; n < NR; ++n) {
      const V bv = load(b + n * ldb);
#pragma GCC unroll 4
      for (int m = 0; m < MR; ++m) acc[n][m] = fma(av[m], bv, acc[n][m]);
    }
  };
  int64_t i = 0;
  for (; i + V::kLanes <= depth; i += V::kLanes) {
    add([i](const T* row) { return V::loadu(row + i); });
  }
  const int rest = static_cast<int>(depth - i);
  if (rest > 0) add([i, rest](const T* row) { return V::load_partial(row + i, rest); });
#pragma GCC unroll 4
  for (int n = 0; n < NR; ++n) {
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) c[n * ldc + m] = reduce_sum(acc[n][m]);
  }
}

// Rows [begin, end) of A times a few rows of B.
template <class T>
void dot_rows(const DotProduct<T>& p, int64_t begin, int64_t end) {
  constexpr int kRows = 4, kColumns = CK_ISA_LEVEL == 2 ? 4 : 2;
  for_each_tile(p.N, kColumns, [&](int64_t n, int size) {
    with_int<kColumns>(size, [&]<int NR>(Int<NR>) {
      const T* const b = p.b + n * p.ldb;
      int64_t m = begin;
      for (; m + kRows <= end; m += kRows) {
        dot_tile<T, kRows, NR>(p.a + m * p.lda, p.lda, b, p.ldb, p.depth, p.c + n * p.ldc + m,
                               p.ldc);
      }
      for (; m < end; ++m) {
        dot_tile<T, 1, NR>(p.a + m * p.lda, p.lda, b, p.ldb, p.depth, p.c + n * p.ldc + m, p.ldc);
      }
    });
  });
}

// Rows [begin, end) of A times `panels`, the transpose of some rows of B: the transpose of the
// result in scratch, then the result. A tile of rows stays in the first-level cache while all
// panels pass by.
template <class T>
void transposed_dot_rows(const DotProduct<T>& p, int64_t begin, int64_t end,
                         const Panels<T>& panels, const T* packed, int64_t n, T* scratch) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  const int64_t wide = round_up(panels.columns, lanes), rows = end - begin;
  const Product<T> whole{rows, wide,    p.depth, p.a + begin * p.lda, p.lda, nullptr,
                         0,    scratch, wide};
  const Panels<T> padded{p.depth, wide};
  const int64_t parts = p.depth > 0 ? ceil_div(p.depth, kDotTerms) : 1;
  const int64_t size = ceil_div(p.depth, parts);
  Fetch<T> nothing;  // rows one after the other are what the hardware fetches best
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = part * size, left = p.depth - first;
    const Product<T> now = whole.terms(true, first, left < size ? left : size);
    for_each_tile(rows, product_tile_rows<T>(padded.vectors(0)), [&](int64_t m, int count) {
      for (int64_t panel = 0; panel < padded.count(); ++panel) {
        packed_rows<T, true>(now, padded, panel, m, m + count,
                             packed + padded.offset(panel) + first * padded.width(panel), nothing);
      }
    });
  }
  for (int64_t j = 0; j < panels.columns; j += lanes) {
    const int64_t columns = panels.columns - j < lanes ? panels.columns - j : lanes;
    for (int64_t i = 0; i < rows; i += lanes) {
      const int64_t count = rows - i < lanes ? rows - i : lanes;
      transpose_whole(scratch + i * wide + j, wide, count, columns,
                      p.c + (n + j) * p.ldc + begin + i, p.ldc);
    }
  }
}

// Whether less is transposed if A is, rather than B and the result: where sums are short or rows of
// B many. Up to kDotRows of B nothing is.
CK_INLINE bool transposes_a(int64_t M, int64_t N, int64_t depth) {
  return N > kDotRows && checked_product(M, depth) <= checked_product(N, depth + M);
}

// Computes one block, of one panel, with a few terms of A at a time transposed into the first-level
// cache.
template <class T>
void transposing_block(const DotProduct<T>& p, const typename ProductBlocks<T>::Part& at) {
  alignas(kVecBytes) T packed[kMostTerms * Panels<T>::kWidth];
  const Product<T> whole{at.rows, at.columns, p.depth, p.b + at.m * p.ldb,
                         p.ldb,   nullptr,    0,       p.c + at.m * p.ldc + at.j,
                         p.ldc};
  const int64_t parts = p.depth > 0 ? ceil_div(p.depth, kMostTerms) : 1;
  const int64_t size = ceil_div(p.depth, parts);
  Fetch<T> nothing;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = part * size, left = p.depth - first;
    const Product<T> now = whole.terms(true, first, left < size ? left : size);
    const Panels<T> panel{now.depth, at.columns};
    panel.pack_transposed(0, 0, now.depth, p.a + at.j * p.lda + first, p.lda, packed);
    packed_rows<T, true>(now, panel, 0, 0, at.rows, packed, nothing);
  }
}

// The whole product; `packed` has room for the transpose of B, its rows padded to whole widest
// vectors, where it is that which is transposed. Calls done(n, rows, m, columns) for each part of C
// while it is in the cache.
template <class T, class Done>
void dot_product(ThreadPool* pool, const DotProduct<T>& p, T* packed, const Done& done) {
  const int threads = max_threads(p.M, p.N, p.depth);
  if (p.N <= kDotRows) {
    const Chunks rows{p.M, 64};
    return pool->parallel_for(
        rows.count(),
        [&](int64_t chunk, int) {
          const int64_t begin = rows.begin(chunk), end = rows.end(chunk);
          dot_rows(p, begin, end);
          done(0, p.N, begin, end - begin);
        },
        threads);
  }
  if (transposes_a(p.M, p.N, p.depth)) {
    const ProductBlocks<T> blocks(p.N, p.M, p.depth, {kMostRows<T>, 1, kMostTerms});
    return pool->parallel_for(
        blocks.count(),
        [&](int64_t index, int) {
          const auto at = blocks.part(index);
          transposing_block<T>(p, at);
          done(at.m, at.rows, at.j, at.columns);
        },
        threads);
  }
  const Panels<T> all{p.depth, p.N};
  const Chunks terms{p.depth, 512};
  pool->parallel_for(
      all.count() * terms.count(),
      [&](int64_t index, int) {
        const int64_t panel = index / terms.count(), i = terms.begin(index % terms.count());
        const int64_t end = terms.end(index % terms.count());
        all.pack_transposed(panel, i, end - i, p.b + i, p.ldb, packed);
      },
      threads);
  const Chunks columns{p.N, kDotColumns}, rows = balanced_chunks(p.M, kDotBlock<T>);
  pool->parallel_for(
      columns.count() * rows.count(),
      [&](int64_t index, int) {
        alignas(kVecBytes) T scratch[kDotBlock<T> * kDotColumns];
        const int64_t n = columns.begin(index / rows.count());
        const int64_t end = columns.end(index / rows.count());
        const int64_t row = index % rows.count();
        const int64_t m = rows.begin(row), last = rows.end(row);
        transposed_dot_rows(p, m, last, Panels<T>{p.depth, end - n}, packed + n * p.depth, n,
                            scratch);
        done(n, end - n, m, last - m);
      },
      threads);
}

}  // namespace convkit::CK_ISA
