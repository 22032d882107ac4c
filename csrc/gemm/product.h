// A matrix product in register tiles (gemm/tile.h), cut into blocks that are chunks of work. For
// kernel sources only (core/isa.h).
#pragma once

#include "core/checked.h"
#include "gemm/panels.h"
#include "gemm/tile.h"

namespace convkit::CK_ISA {

// C [M,N] = A B + bias, with B row-major [depth, N], rows ldb apart.
template <class T>
struct Product {
  int64_t M, N, depth;
  const T* a;
  int64_t a_step;  // by row: the terms of a row are neighbours, the rows a_step apart; else the
                   // rows are neighbours, the terms a_step apart
  const T* b;      // null: packed, and given beside the product
  int64_t ldb;
  T* c;
  int64_t ldc;
  const T* bias = nullptr;  // null: none
  bool add = false;         // to what is in C; without a bias
};

// One tile from row m on, columns j to j + NV vectors, `last` lanes of the last. `last` lanes of
// it are in B from term `safe` on; before that a whole vector can be read.
template <class T, bool kByRow, int MR, int NV>
void product_tile(const Product<T>& p, int64_t m, int64_t j, const T* b, int64_t ldb, int64_t safe,
                  int last) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  if (p.add) {
    tile.load(0, p.c + m * p.ldc + j, p.ldc, last);
  } else {
    for (int v = 0; v < NV; ++v) {
      V start = V::zero();
      if (p.bias != nullptr) {
        const T* const from = p.bias + j + v * V::kLanes;
        start = v < NV - 1 ? V::loadu(from) : V::load_partial(from, last);
      }
#pragma GCC unroll 16
      for (int r = 0; r < MR; ++r) tile.acc[r][v] = start;
    }
  }
  const int64_t step = p.a_step;
  const auto row = [step](int r) { return kByRow ? r * step : int64_t{r}; };
  const T* const a = p.a + (kByRow ? m * step : m);
  const int64_t a_step = kByRow ? 1 : step;
  tile.multiply(a, row, a_step, b, ldb, safe);
  for (int64_t i = safe; i < p.depth; ++i) {
    for (int v = 0; v < NV; ++v) {
      const T* const from = b + i * ldb + v * V::kLanes;
      const V bv = v < NV - 1 ? V::loadu(from) : V::load_partial(from, last);
#pragma GCC unroll 16
      for (int r = 0; r < MR; ++r) {
        tile.acc[r][v] = fma(V::broadcast(a[row(r) + i * a_step]), bv, tile.acc[r][v]);
      }
    }
  }
  tile.store(0, p.c + m * p.ldc + j, p.ldc, last);
}

// Rows [begin, end) of one panel of columns, whose terms begin at b.
template <class T, bool kByRow>
void product_rows(const Product<T>& p, const Panels<T>& panels, int64_t panel, int64_t begin,
                  int64_t end, const T* b, int64_t ldb, int64_t safe) {
  const int64_t j = panels.first(panel);
  const int last = panels.last_lanes(panel);
  with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
    for_each_tile(end - begin, tile_rows<T>(NV), [&](int64_t m, int size) {
      with_int<tile_rows<T>(NV)>(size, [&]<int MR>(Int<MR>) {
        product_tile<T, kByRow, MR, NV>(p, begin + m, j, b, ldb, safe, last);
      });
    });
  });
}

// The blocks of a product: some rows times one panel of columns, each a chunk of work.
template <class T>
struct ProductBlocks {
  Panels<T> panels;
  Chunks rows;

  CK_INLINE explicit ProductBlocks(const Product<T>& p) : panels{p.depth, p.N}, rows{p.M, 1} {
    // 0.3 MFLOP at least; a multiple of every tile size but one.
    const int64_t work = 150000 / checked_product(p.depth + 1, Panels<T>::kWidth);
    rows.size = round_up(work + 1, 24);
  }
  CK_INLINE int64_t count() const { return rows.count() * panels.count(); }

  // The part of C that a block computes.
  struct Part {
    int64_t m, rows, j, columns;
  };
  CK_INLINE Part part(const Product<T>& p, int64_t index) const {
    const int64_t panel = index % panels.count(), block = index / panels.count();
    const int64_t j = panels.first(panel), width = panels.width(panel), m = rows.begin(block);
    return {m, rows.end(block) - m, j, p.N - j < width ? p.N - j : width};
  }
};

// Computes block `index`. `packed` holds B in panels, or is null.
template <class T, bool kByRow>
void product_block(const Product<T>& p, const ProductBlocks<T>& blocks, int64_t index,
                   const T* packed) {
  const Panels<T>& panels = blocks.panels;
  const int64_t panel = index % panels.count(), block = index / panels.count();
  const T* const b = packed != nullptr ? packed + panels.offset(panel) : p.b + panels.first(panel);
  const int64_t ldb = packed != nullptr ? panels.width(panel) : p.ldb;
  int64_t safe = p.depth;
  if (packed == nullptr && panels.last_lanes(panel) < Vec<T>::kLanes) {
    const int64_t room = p.depth * ldb - panels.first(panel) - panels.width(panel);
    safe = room < 0 ? 0 : room / ldb + 1;
  }
  product_rows<T, kByRow>(p, panels, panel, blocks.rows.begin(block), blocks.rows.end(block), b,
                          ldb, safe);
}

// About what one thread does in the time that it takes to wake another.
constexpr double kSerialFlops = 2e5;

// How many threads a product is worth, as parallel_for takes it.
CK_INLINE int max_threads(int64_t M, int64_t N, int64_t depth) {
  const double flops =
      2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(depth);
  return flops < kSerialFlops ? 1 : 0;
}

// The whole product, by row, with B in panels.
template <class T>
void packed_product(ThreadPool* pool, const Product<T>& p, const T* packed) {
  const ProductBlocks<T> blocks(p);
  pool->parallel_for(
      blocks.count(), [&](int64_t index, int) { product_block<T, true>(p, blocks, index, packed); },
      max_threads(p.M, p.N, p.depth));
}

// The product of a few rows, by row, with B in panels, on the calling thread.
template <class T>
void packed_product_here(const Product<T>& p, const T* packed) {
  const Panels<T> panels{p.depth, p.N};
  for (int64_t panel = 0; panel < panels.count(); ++panel) {
    product_rows<T, true>(p, panels, panel, 0, p.M, packed + panels.offset(panel),
                          panels.width(panel), p.depth);
  }
}

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

// A chunk of work is some rows of C times one or two panels of columns. It goes through the sums a
// block of terms at a time. Where there are many, larger chunks read A and B from memory less
// often.
constexpr int64_t kDepthBlock = 128, kManyTerms = 512;

template <class T>
struct TransposedBlocks {
  Panels<T> panels;
  Chunks rows, columns;  // the latter in panels

  CK_INLINE explicit TransposedBlocks(const TransposedProduct<T>& t)
      : panels{t.depth, t.N},
        rows{t.M, t.depth > kManyTerms ? 256 : 96},
        columns{panels.count(), t.depth > kManyTerms ? 2 : 1} {}
  // The sums are wanted even where C has no rows.
  CK_INLINE int64_t count() const {
    return (rows.count() > 0 ? rows.count() : 1) * columns.count();
  }
};

// Packs terms [first, first + depth) of a panel of B and adds them to the sums, unless null.
template <class T>
CK_INLINE void pack_terms(const TransposedProduct<T>& t, const Panels<T>& panels, int64_t panel,
                          int64_t first, int64_t depth, T* sums, T* packed) {
  using V = Vec<T>;
  const int64_t j = panels.first(panel), width = panels.width(panel);
  const int vectors = panels.vectors(panel), last = panels.last_lanes(panel);
  for (int v = 0; v < vectors; ++v) {
    const int lanes = v < vectors - 1 ? V::kLanes : last;
    const T* from = t.b + first * t.ldb + j + v * V::kLanes;
    T* to = packed + v * V::kLanes;
    V total = V::zero();
    if (sums != nullptr && first > 0) total = V::load_partial(sums + j + v * V::kLanes, lanes);
    for (int64_t i = 0; i < depth; ++i, from += t.ldb, to += width) {
      const V b = lanes == V::kLanes ? V::loadu(from) : V::load_partial(from, lanes);
      total += b;
      b.store(to);
    }
    if (sums != nullptr) total.store_partial(sums + j + v * V::kLanes, lanes);
  }
}

template <class T>
void transposed_product_block(const TransposedProduct<T>& t, const TransposedBlocks<T>& blocks,
                              int64_t index) {
  alignas(kVecBytes) T packed[kDepthBlock * Panels<T>::kWidth];
  const int64_t column = index % blocks.columns.count(), row = index / blocks.columns.count();
  const int64_t begin = blocks.rows.begin(row), end = blocks.rows.end(row);
  int64_t first = 0;
  do {  // without terms C is 0
    const int64_t left = t.depth - first, depth = left < kDepthBlock ? left : kDepthBlock;
    const Product<T> p{t.M,   t.N,     depth,    t.a + first * t.lda, t.lda, nullptr, 0, t.c,
                       t.ldc, nullptr, first > 0};
    const int64_t last = blocks.columns.end(column);
    for (int64_t panel = blocks.columns.begin(column); panel < last; ++panel) {
      pack_terms(t, blocks.panels, panel, first, depth, row == 0 ? t.sums : nullptr, packed);
      product_rows<T, false>(p, blocks.panels, panel, begin, end, packed,
                             blocks.panels.width(panel), depth);
    }
    first += kDepthBlock;
  } while (first < t.depth);
}

// The terms of every sum are added in their order, whatever the number of threads.
template <class T>
void transposed_product(ThreadPool* pool, const TransposedProduct<T>& t) {
  const TransposedBlocks<T> blocks(t);
  pool->parallel_for(
      blocks.count(), [&](int64_t index, int) { transposed_product_block(t, blocks, index); },
      max_threads(t.M, t.N, t.depth));
}

// The whole product on the calling thread.
template <class T>
void transposed_product_here(const TransposedProduct<T>& t) {
  const TransposedBlocks<T> blocks(t);
  for (int64_t index = 0; index < blocks.count(); ++index) {
    transposed_product_block(t, blocks, index);
  }
}

}  // namespace convkit::CK_ISA
