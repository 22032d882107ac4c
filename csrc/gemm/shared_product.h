// Products of one matrix B with the rows of another whose sums are long: the gradients of all
// weights that a layer has, one beside the other. For kernel sources only (core/isa.h).
//
// A block of columns goes through its sums a few terms at a time. These terms of B are packed once
// for all rows, and what the next ones need is fetched meanwhile. The results stay in scratch
// memory of their own until the end: rows of C a multiple of a page apart would share a few places
// of the first-level cache. Every sum is added up in the order of its terms.
#pragma once

#include "gemm/product.h"
#include "gemm/runs.h"
#include "gemm/shared_scratch.h"
#include "gemm/table_row.h"

namespace convkit::CK_ISA {

// Sums of rows of B by their numbers: row v of `to`, of `count`, is the sum of the rows whose
// number is v, in their order. What is no number of a row is passed over.
template <class T>
struct SumsByNumber {
  const T* numbers = nullptr;
  int64_t count = 0;
  T* to = nullptr;  // rows SharedProduct::ldc apart; null: none
};

// C [M,N] = A B for A [M,depth] and B [depth,N]. The first rows[0] rows of C are those of c[0], the
// others those of c[1]. sums [N] = the column sums of B, unless null.
template <class T>
struct SharedProduct {
  int64_t rows[2], N, depth;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  T* c[2];
  int64_t ldc;
  T* sums;
  SumsByNumber<T> by_number = {};

  CK_INLINE int64_t M() const { return rows[0] + rows[1]; }
};

template <class T>
struct SharedBlocks {
  Panels<T> panels;
  Chunks rows, columns;  // the latter in panels

  CK_INLINE explicit SharedBlocks(const SharedProduct<T>& p)
      : panels{p.depth, p.N}, rows{p.M(), 1}, columns{panels.count(), 1} {
    // Four MFLOP at least; in a block of few rows, packing weighs too much.
    const int64_t most = kSharedColumns / Panels<T>::kWidth;
    int64_t parts = checked_product(p.M(), p.N, p.depth) / 2000000;
    parts = parts < 1 ? 1 : parts > 8 ? 8 : parts;
    columns = balanced_chunks(panels.count(), most);
    const int64_t count = columns.count() > 0 ? columns.count() : 1, fit = p.M() / 48;
    const int64_t wanted = ceil_div(parts, count);
    rows = balanced_chunks(p.M(), kSharedRows, wanted < fit ? wanted : fit);
  }
  CK_INLINE int64_t count() const {
    return columns.count() * (rows.count() > 0 ? rows.count() : 1);  // sums without rows
  }
};

// Copies `count` rows of a panel's columns and adds them to the sums, if there are any.
template <class T, int NV>
CK_INLINE void pack_and_sum(const T* from, int64_t ld, int64_t count, int last, T* packed,
                            T* sums) {
  using V = Vec<T>;
  V sum[NV];
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) sum[v] = V::zero();
  if (sums != nullptr) {
    for (int v = 0; v < NV; ++v) sum[v] = V::load_partial(sums + v * V::kLanes, V::kLanes);
  }
  const bool whole = last == V::kLanes;
  for (int64_t i = 0; i < count; ++i, from += ld, packed += NV * V::kLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const T* const at = from + v * V::kLanes;
      const V value = v < NV - 1 || whole ? V::loadu(at) : V::load_partial(at, last);
      value.storeu(packed + v * V::kLanes);
      sum[v] += value;
    }
  }
  if (sums == nullptr) return;
  for (int v = 0; v < NV; ++v) sum[v].storeu(sums + v * V::kLanes);
}

// Adds rows that are packed, `wide` apart, to those of `to` that their numbers mean.
template <class T>
CK_INLINE void add_by_number(const SumsByNumber<T>& sums, int64_t first, int64_t count,
                             const T* packed, int64_t wide, int64_t columns, T* to, int64_t ld) {
  for (int64_t i = first; i < first + count; ++i, packed += wide) {
    const int64_t row = row_of(sums.numbers[i], sums.count);
    if (row >= 0) add_run(packed, columns, to + row * ld);
  }
}

// Computes one block.
template <class T>
void shared_block(const SharedProduct<T>& p, const SharedBlocks<T>& blocks, int64_t index,
                  T* scratch) {
  using Matrix = typename Fetch<T>::Matrix;
  constexpr int64_t wide = Panels<T>::kWidth, most = kSharedColumns / wide;
  const Panels<T>& panels = blocks.panels;
  const int64_t column = index % blocks.columns.count(), group = index / blocks.columns.count();
  const int64_t first_panel = blocks.columns.begin(column), end = blocks.columns.end(column);
  const int64_t m = blocks.rows.begin(group), M = p.M() > 0 ? blocks.rows.end(group) - m : 0;
  const bool sum = p.sums != nullptr && group == 0;
  const SumsByNumber<T>& by_number = p.by_number;
  const bool add = by_number.to != nullptr && group == 0;
  alignas(kVecBytes) T packed[kMostTerms * wide];
  alignas(kVecBytes) T sums[kSharedColumns] = {};
  const int64_t parts = p.depth > 0 ? ceil_div(p.depth, kMostTerms) : 1;
  const int64_t size = ceil_div(p.depth, parts);
  const int64_t first_column = panels.first(first_panel), end_column = panels.first(end);
  const int64_t all = (end_column < p.N ? end_column : p.N) - first_column;
  for (int64_t row = 0; add && row < by_number.count; ++row) {
    clear_run(by_number.to + row * p.ldc + first_column, all);
  }
  const int64_t calls =
      ceil_div(M, product_tile_rows<T>(kTileVectors<T>)) * ceil_div(size, Fetch<T>::kLine);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = part * size, left = p.depth - first;
    const int64_t count = left < size ? left : size;
    const int64_t rest = left - count, next = rest < size ? rest : size;
    for (int64_t panel = first_panel; panel < end; ++panel) {
      const int64_t j = panels.first(panel);
      const int64_t columns = p.N - j < wide ? p.N - j : wide;
      const T* const b = p.b + first * p.ldb + j;
      with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
        pack_and_sum<T, NV>(b, p.ldb, count, panels.last_lanes(panel), packed,
                            sum ? sums + (panel - first_panel) * wide : nullptr);
      });
      if (add) {
        add_by_number(by_number, first, count, packed, panels.width(panel), columns,
                      by_number.to + j, p.ldc);
      }
      if (M == 0) continue;
      // What is next is the next panel, or all panels' first one with the next terms of A.
      const bool turn = panel + 1 == end;
      const Matrix next_b =
          turn ? Matrix{p.b + (first + count) * p.ldb + first_column, p.ldb, next, wide}
               : Matrix{b + wide, p.ldb, count, p.N - j - wide < wide ? p.N - j - wide : wide};
      const Matrix next_a{p.a + m * p.lda + first + count, p.lda, turn && next > 0 ? M : 0, next};
      Fetch<T> fetch(next_b, next_a, calls);
      const Product<T> now{M,     columns, count,   p.a + m * p.lda + first,
                           p.lda, nullptr, 0,       scratch + (panel - first_panel) * M * wide,
                           wide,  nullptr, part > 0};
      packed_rows<T, true>(now, Panels<T>{count, columns}, 0, 0, M, packed, fetch);
    }
  }
  static_assert(most * wide == kSharedColumns);
  if (sum) copy_run(sums, all, p.sums + first_column);
  for (int64_t row = m; row < m + M; ++row) {
    T* const to = row < p.rows[0] ? p.c[0] + row * p.ldc : p.c[1] + (row - p.rows[0]) * p.ldc;
    for (int64_t panel = first_panel; panel < end; ++panel) {
      const int64_t at = panels.first(panel), n = p.N - at < wide ? p.N - at : wide;
      const T* const from = scratch + ((panel - first_panel) * M + row - m) * wide;
      copy_run(from, n, to + at);
    }
  }
}

// Some products, their blocks one beside the other; `scratch` has `each` values for each thread, of
// which there are `slots` at most.
template <class T>
void shared_products(ThreadPool* pool, const SharedProduct<T>* products, int count, T* scratch,
                     int64_t each, int slots) {
  int64_t blocks = 0, work = 0;
  for (int i = 0; i < count; ++i) {
    blocks += SharedBlocks<T>(products[i]).count();
    work += products[i].M() * products[i].N;
  }
  const int threads = count > 0 ? max_threads<T>(work, 1, products[0].depth) : 1;
  pool->parallel_for(
      blocks,
      [&](int64_t index, int thread) {
        for (int i = 0; i < count; ++i) {
          const SharedBlocks<T> here(products[i]);
          if (index < here.count()) {
            return shared_block(products[i], here, index, scratch + thread * each);
          }
          index -= here.count();
        }
      },
      threads < slots ? threads : slots);
}

}  // namespace convkit::CK_ISA
