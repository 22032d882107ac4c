// Products A^T B, whose sums run over the rows of both: gradients of weights. For kernel sources
// only (core/isa.h).
#pragma once

#include "gemm/product.h"

namespace convkit::CK_ISA {

// C [M,N] = A^T B for A [depth, M] and B [depth, N]; sums [N] = the column sums of B, unless null.
template <class T>
struct TransposedProduct {
  int64_t M, N, depth;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  T* c;
  int64_t ldc;
  T* sums;
};

// Whole lines of a few rows of C stay in the second-level cache while A and B pass by.
constexpr BlockSizes kTransposedBlocks = {48, 16, 128, true};

// Computes one block. The sums are the product with a row of ones.
template <class T>
void transposed_product_block(const TransposedProduct<T>& t, const ProductBlocks<T>& blocks,
                              int64_t index) {
  if (index < blocks.columns.count() && t.sums != nullptr) {
    const T one = 1;
    const auto at = blocks.part(index);
    const Product<T> sums{1,          at.columns, t.depth,       &one,      0,
                          t.b + at.j, t.ldb,      t.sums + at.j, at.columns};
    const ProductBlocks<T> row(1, at.columns, t.depth, {1, kTransposedBlocks.panels, blocks.terms});
    for (int64_t i = 0; i < row.count(); ++i) product_block<T, false>(sums, row, i);
  }
  if (t.M == 0) return;
  const Product<T> p{t.M, t.N, t.depth, t.a, t.lda, t.b, t.ldb, t.c, t.ldc};
  product_block<T, false>(p, blocks, index);
}

template <class T>
CK_INLINE int64_t transposed_count(const TransposedProduct<T>& t, const ProductBlocks<T>& blocks) {
  // The sums are wanted even where C has no rows.
  return t.M > 0 ? blocks.count() : blocks.columns.count();
}

// The sums of rows in their order.
template <class T>
void sum_rows(const T* b, int64_t rows, int64_t ld, int64_t columns, T* sums) {
  for (int64_t j = 0; j < columns; ++j) sums[j] = 0;
  for (int64_t i = 0; i < rows; ++i, b += ld) {
    for (int64_t j = 0; j < columns; ++j) sums[j] += b[j];
  }
}

// Few columns of C that leave lanes of vectors empty: its transpose B^T A has them as rows.
constexpr int64_t kNarrow = 128;
template <class T>
CK_INLINE bool is_narrow(const TransposedProduct<T>& t) {
  return t.N < kNarrow && t.N % Vec<T>::kLanes != 0 && t.M > t.N && t.M >= 64;
}

// Columns [begin, end) of B^T A, at most kNarrow, in scratch memory, and from there to C.
template <class T>
void narrow_block(const TransposedProduct<T>& t, int64_t begin, int64_t end) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  alignas(kVecBytes) T scratch[kNarrow * kNarrow];
  const int64_t count = end - begin;
  const Product<T> p{t.N, count, t.depth, t.b, t.ldb, t.a + begin, t.lda, scratch, count};
  const ProductBlocks<T> block(p.M, p.N, p.depth, {kMostRows<T>, 16, 128, false, 1});
  for (int64_t i = 0; i < block.count(); ++i) product_block<T, false>(p, block, i);
  for (int64_t n = 0; n < t.N; n += lanes) {
    const int64_t rows = t.N - n < lanes ? t.N - n : lanes;
    for (int64_t m = 0; m < count; m += lanes) {
      const int64_t columns = count - m < lanes ? count - m : lanes;
      transpose_whole(scratch + n * count + m, count, rows, columns, t.c + (begin + m) * t.ldc + n,
                      t.ldc);
    }
  }
}

template <class T>
void narrow_product(ThreadPool* pool, const TransposedProduct<T>& t) {
  // A MFLOP at least, and a panel.
  const int64_t parts = checked_product(t.M, t.N, t.depth) / 500000, fit = t.M / Panels<T>::kWidth;
  const Chunks columns = balanced_chunks(t.M, kNarrow, parts < fit ? parts : fit);
  const int64_t sums = t.sums != nullptr ? 1 : 0;
  pool->parallel_for(
      columns.count() + sums,
      [&](int64_t index, int) {
        if (index < sums) return sum_rows(t.b, t.depth, t.ldb, t.N, t.sums);
        const int64_t chunk = index - sums;
        narrow_block(t, columns.begin(chunk), columns.end(chunk));
      },
      max_threads<T>(t.M, t.N, t.depth));
}

// The terms of every sum are added in their order, whatever the number of threads.
template <class T>
void transposed_product(ThreadPool* pool, const TransposedProduct<T>& t) {
  if (is_narrow(t)) return narrow_product(pool, t);
  const ProductBlocks<T> blocks(t.M, t.N, t.depth, kTransposedBlocks);
  pool->parallel_for(
      transposed_count(t, blocks),
      [&](int64_t index, int) { transposed_product_block(t, blocks, index); },
      max_threads<T>(t.M, t.N, t.depth));
}

// The whole product on the calling thread.
template <class T>
void transposed_product_here(const TransposedProduct<T>& t) {
  const ProductBlocks<T> blocks(t.M, t.N, t.depth, kTransposedBlocks);
  for (int64_t index = 0; index < transposed_count(t, blocks); ++index) {
    transposed_product_block(t, blocks, index);
  }
}

}  // namespace convkit::CK_ISA
