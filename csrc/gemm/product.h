// A matrix product in register tiles (gemm/tile.h), cut into blocks that are chunks of work. For
// kernel sources only (core/isa.h).
//
// A block of C goes through its sums a few terms at a time. Of these terms of B, the first tile of
// each panel reads the columns where they are and leaves them packed in the cache for the tiles
// below it, which meanwhile fetch what the next terms need. So B may be of any size and is read
// from memory once per block of rows. Every sum is added up in the order of its terms, whatever the
// blocks are.
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

  // The terms [first, first + count) of the sums.
  CK_INLINE Product terms(bool by_row, int64_t first, int64_t count) const {
    Product part = *this;
    part.depth = count;
    part.a += by_row ? first : first * a_step;
    if (b != nullptr) part.b += first * ldb;
    if (first > 0) part.bias = nullptr, part.add = true;
    return part;
  }
};

// Asks for the line at p in the second-level cache.
CK_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

// What the sums of a tile begin with: rows from m on, columns j to j + NV vectors, `last` lanes of
// the last.
template <class T, int MR, int NV>
CK_INLINE void begin_tile(const Product<T>& p, int64_t m, int64_t j, int last,
                          Tile<T, MR, NV>& tile) {
  using V = Vec<T>;
  if (p.add) return tile.load(0, p.c + m * p.ldc + j, p.ldc, last);
#pragma GCC unroll 4
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

// What is wanted next, a few lines at a time: `rows` runs of `run` values, ld apart, of up to two
// matrices. In the order of memory, so that the hardware sees long streams and goes ahead.
template <class T>
struct Fetch {
  static constexpr int64_t kLine = 64 / int64_t{sizeof(T)}, kMost = 16;
  struct Matrix {
    const T* first;
    int64_t ld, rows, run;

    CK_INLINE int64_t lines() const { return rows * ceil_div(run, kLine); }
  };
  Matrix matrices[2] = {};
  int64_t lines = 0;  // at a time
  int64_t at = 0;

  CK_INLINE Fetch() {}  // nothing

  // Within `times` calls, unless that were too many lines at a time to go unnoticed.
  CK_INLINE Fetch(const Matrix& a, const Matrix& b, int64_t times)
      : matrices{a, b}, lines(ceil_div(a.lines() + b.lines(), times > 0 ? times : 1)) {
    if (lines > kMost) lines = kMost;
  }

  CK_INLINE void operator()() {
    for (int64_t left = lines; left > 0;) {
      Matrix& now = matrices[matrices[0].rows > 0 ? 0 : 1];
      if (now.rows == 0) return;
      const int64_t row = ceil_div(now.run - at, kLine), count = left < row ? left : row;
      const T* const from = now.first + at;
      for (int64_t i = 0; i < count; ++i) prefetch(from + i * kLine);
      left -= count, at += count * kLine;
      if (at >= now.run) at = 0, now.first += now.ld, --now.rows;
    }
  }
};

// A tile whose columns of B are packed. Now and then it fetches some of what is wanted next.
template <class T, bool kByRow, int MR, int NV>
void packed_tile(const Product<T>& p, int64_t m, int64_t j, const T* packed, int last,
                 Fetch<T>& fetch) {
  constexpr int64_t wide = NV * Vec<T>::kLanes, some = Fetch<T>::kLine;
  Tile<T, MR, NV> tile;
  begin_tile(p, m, j, last, tile);
  const int64_t step = p.a_step, a_step = kByRow ? 1 : step;
  const auto row = [step](int r) { return kByRow ? r * step : int64_t{r}; };
  const T* a = p.a + (kByRow ? m * step : m);
  for (int64_t left = p.depth; left > 0; left -= some) {
    fetch();
    tile.multiply(a, row, a_step, packed, wide, left < some ? left : some);
    a += some * a_step, packed += some * wide;
  }
  tile.store(0, p.c + m * p.ldc + j, p.ldc, last);
}

// The first tile of a panel, which reads its columns of B where they are and packs them. Of the
// last vector `last` lanes are in B from term `safe` on; before that a whole one can be read.
template <class T, bool kByRow, int MR, int NV>
void packing_tile(const Product<T>& p, int64_t j, int64_t safe, int last, T* packed) {
  using V = Vec<T>;
  constexpr int64_t wide = NV * V::kLanes;
  Tile<T, MR, NV> tile;
  begin_tile(p, 0, j, last, tile);
  const int64_t step = p.a_step, a_step = kByRow ? 1 : step;
  const auto row = [step](int r) { return kByRow ? r * step : int64_t{r}; };
  tile.multiply(p.a, row, a_step, p.b + j, p.ldb, safe, [packed](int64_t i, const V* b) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) b[v].storeu(packed + i * wide + v * V::kLanes);
  });
  for (int64_t i = safe; i < p.depth; ++i) {
    const T* const from = p.b + i * p.ldb + j;
    T* const to = packed + i * wide;
    for (int v = 0; v < NV - 1; ++v) V::loadu(from + v * V::kLanes).storeu(to + v * V::kLanes);
    constexpr int64_t end = wide - V::kLanes;
    V::load_partial(from + end, last).storeu(to + end);
  }
  tile.multiply(p.a + safe * a_step, row, a_step, packed + safe * wide, wide, p.depth - safe);
  tile.store(0, p.c + j, p.ldc, last);
}

// Rows of a tile. More would leave some of their addresses no register, and where rows of A are a
// multiple of a page apart the first-level cache has few places for their lines.
template <class T>
constexpr int product_tile_rows(int vectors) {
  return tile_rows<T>(vectors) < 8 ? tile_rows<T>(vectors) : 8;
}

// Rows [begin, end) of one panel of columns, which begins at `packed`.
template <class T, bool kByRow>
void packed_rows(const Product<T>& p, const Panels<T>& panels, int64_t panel, int64_t begin,
                 int64_t end, const T* packed, Fetch<T>& fetch) {
  const int64_t j = panels.first(panel);
  const int last = panels.last_lanes(panel);
  with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
    for_each_tile(end - begin, product_tile_rows<T>(NV), [&](int64_t m, int size) {
      with_int<product_tile_rows<T>(NV)>(size, [&]<int MR>(Int<MR>) {
        packed_tile<T, kByRow, MR, NV>(p, begin + m, j, packed, last, fetch);
      });
    });
  });
}

// All rows of one panel, with B where it is: the first tile packs it into `scratch`.
template <class T, bool kByRow>
void packing_rows(const Product<T>& p, const Panels<T>& panels, int64_t panel, T* scratch,
                  Fetch<T>& fetch) {
  constexpr int lanes = Vec<T>::kLanes;
  const int64_t j = panels.first(panel);
  const int last = panels.last_lanes(panel);
  int64_t safe = p.depth;
  if (last < lanes) {
    const int64_t room = (p.depth - 1) * p.ldb + p.N - j - panels.width(panel);
    safe = room < 0 ? 0 : room / p.ldb + 1;
  }
  int64_t packed = 0;  // rows of the first tile
  with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
    constexpr int most = product_tile_rows<T>(NV);
    const int64_t tiles = ceil_div(p.M, most);
    if (tiles == 0) return;
    packed = ceil_div(p.M, tiles);
    with_int<most>(static_cast<int>(packed), [&]<int MR>(Int<MR>) {
      packing_tile<T, kByRow, MR, NV>(p, j, safe, last, scratch);
    });
  });
  packed_rows<T, kByRow>(p, panels, panel, packed, p.M, scratch, fetch);
}

// What a block of a product may be at most, and how many terms of the sums are taken at a time.
struct BlockSizes {
  int64_t rows, panels, terms;
  bool wide = false;   // cut into rows first: C is larger than A and B
  int64_t parts = 16;  // more than these are not needed
};
constexpr int64_t kMostTerms = 128;
template <class T>
constexpr int64_t kMostRows = 512 / int64_t{sizeof(T)};

// The blocks of a product: some rows times some panels of columns, each a chunk of work.
template <class T>
struct ProductBlocks {
  Panels<T> panels;
  Chunks rows, columns;  // the latter in panels
  int64_t terms;

  CK_INLINE ProductBlocks(int64_t M, int64_t N, int64_t depth, BlockSizes most)
      : panels{depth, N}, rows{M, 1}, columns{panels.count(), 1}, terms(most.terms) {
    // Two MFLOP at least; few rows take as long as 16, as B must be read. In a block with few rows,
    // the first tile weighs too much.
    int64_t parts = checked_product(M > 16 || M == 0 ? M : 16, N, depth) / 1000000;
    parts = parts < 1 ? 1 : parts > most.parts ? most.parts : parts;
    columns = balanced_chunks(panels.count(), most.panels, most.wide ? 1 : parts);
    parts = ceil_div(most.wide || parts < 8 ? parts : 8, columns.count() > 0 ? columns.count() : 1);
    const int64_t fit = M / kLeastRows;
    rows = balanced_chunks(M, most.rows < kMostRows<T> ? most.rows : kMostRows<T>,
                           parts < fit ? parts : fit);
  }
  CK_INLINE int64_t count() const { return rows.count() * columns.count(); }

  // The part of C that a block computes.
  struct Part {
    int64_t m, rows, j, columns;
    int64_t first_panel, end_panel;
  };
  CK_INLINE Part part(int64_t index) const {
    const int64_t column = index % columns.count(), row = index / columns.count();
    const int64_t first = columns.begin(column), end = columns.end(column);
    const int64_t m = rows.begin(row), j = panels.first(first), next = panels.first(end);
    const int64_t N = panels.columns;
    return {m, rows.end(row) - m, j, (next < N ? next : N) - j, first, end};
  }

  static constexpr int64_t kLeastRows = 64;
};

// Copies a matrix [rows, n], rows from_ld apart, to rows that are to_ld apart.
template <class T>
CK_INLINE void copy_matrix(const T* from, int64_t from_ld, int64_t rows, int64_t n, T* to,
                           int64_t to_ld) {
  using V = Vec<T>;
  for (int64_t i = 0; i < rows; ++i, from += from_ld, to += to_ld) {
    int64_t j = 0;
    for (; j + V::kLanes <= n; j += V::kLanes) V::loadu(from + j).storeu(to + j);
    if (j < n) V::load_partial(from + j, static_cast<int>(n - j)).storeu(to + j);
  }
}

// The whole panels of a block that is a single tile of rows: nothing of B is wanted twice, so it is
// read where it is, a few terms at a time, as long runs. Returns how many panels that were.
template <class T>
int64_t lone_panels(const Product<T>& p, const Panels<T>& panels, int64_t first_panel,
                    int64_t end_panel, int64_t terms) {
  constexpr int NV = kTileVectors<T>;
  const int64_t step = p.a_step, wide = Panels<T>::kWidth;
  const auto row = [step](int r) { return r * step; };
  if (end_panel * wide > panels.columns) --end_panel;
  with_int<product_tile_rows<T>(NV)>(static_cast<int>(p.M), [&]<int MR>(Int<MR>) {
    for (int64_t i = 0; i < p.depth; i += terms) {
      const Product<T> now = p.terms(true, i, p.depth - i < terms ? p.depth - i : terms);
      for (int64_t panel = first_panel; panel < end_panel; ++panel) {
        const int64_t j = panels.first(panel);
        Tile<T, MR, NV> tile;
        begin_tile(now, 0, j, Vec<T>::kLanes, tile);
        tile.multiply(now.a, row, 1, now.b + j, p.ldb, now.depth);
        tile.store(0, p.c + j, p.ldc, Vec<T>::kLanes);
      }
    }
  });
  return end_panel > first_panel ? end_panel - first_panel : 0;
}

// Computes one block of a product with B where it is.
template <class T, bool kByRow>
void product_block(const Product<T>& p, const ProductBlocks<T>& blocks, int64_t index) {
  const Panels<T>& panels = blocks.panels;
  auto at = blocks.part(index);
  alignas(kVecBytes) T packed_b[kMostTerms * Panels<T>::kWidth];
  alignas(kVecBytes) T packed_a[kMostTerms * kMostRows<T>];
  // Parts of equal size, at least one: without terms, C is the bias.
  const int64_t parts = p.depth > 0 ? ceil_div(p.depth, blocks.terms) : 1,
                size = ceil_div(p.depth, parts);
  Product<T> block = p;
  block.M = at.rows;
  block.a += kByRow ? at.m * p.a_step : at.m;
  block.c += at.m * p.ldc;
  const int64_t tiles = ceil_div(at.rows, product_tile_rows<T>(kTileVectors<T>));
  // Rows a multiple of 8 KB apart share a few places of the caches.
  const bool copy = tiles > 1 && (at.end_panel - at.first_panel >= 4 ||
                                  p.a_step * int64_t{sizeof(T)} % 8192 == 0);
  if constexpr (kByRow) {
    if (tiles == 1 && p.depth > 0) {
      at.first_panel += lone_panels(block, panels, at.first_panel, at.end_panel, blocks.terms);
    }
  }
  using Matrix = typename Fetch<T>::Matrix;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = part * size, left = p.depth - first;
    Product<T> now = block.terms(kByRow, first, left < size ? left : size);
    const int64_t rest = left - now.depth, next = rest < size ? rest : size;
    const int64_t copied = copy ? next : 0;
    const Matrix a = kByRow ? Matrix{now.a + now.depth, p.a_step, copied > 0 ? at.rows : 0, next}
                            : Matrix{now.a + now.depth * p.a_step, p.a_step, copied, at.rows};
    const Matrix b{now.b + now.depth * p.ldb + at.j, p.ldb, next, at.columns};
    Fetch<T> fetch(
        a, b, (at.end_panel - at.first_panel) * (tiles - 1) * ceil_div(now.depth, Fetch<T>::kLine));
    if (copy) {
      const int64_t width = round_up(kByRow ? now.depth : now.M, Vec<T>::kLanes);
      copy_matrix(now.a, now.a_step, kByRow ? now.M : now.depth, kByRow ? now.depth : now.M,
                  packed_a, width);
      now.a = packed_a, now.a_step = width;
    }
    for (int64_t panel = at.first_panel; panel < at.end_panel; ++panel) {
      packing_rows<T, kByRow>(now, panels, panel, packed_b, fetch);
    }
  }
}

// How many threads a product is worth, as parallel_for takes it: for kernels of several loops,
// since who calls them knows only what they take together.
template <class T>
CK_INLINE int max_threads(int64_t M, int64_t N, int64_t depth) {
  const auto m = static_cast<double>(M), n = static_cast<double>(N), d = static_cast<double>(depth);
  const double seconds =
      2 * m * n * d / kThreadFlops + (m * n + m * d + n * d) * sizeof(T) / kThreadBytes;
  return ThreadPool::worth_threads(seconds, ThreadPool::kMaxThreads);
}

// The whole product, by row, with B in panels.
template <class T>
void packed_product(ThreadPool* pool, const Product<T>& p, const T* packed) {
  // Rows of A stay in the second-level cache while all panels pass by.
  const ProductBlocks<T> blocks(p.M, p.N, p.depth, {128, 16, p.depth, true});
  pool->parallel_for(
      blocks.count(),
      [&](int64_t index, int) {
        const auto at = blocks.part(index);
        Fetch<T> nothing;
        for (int64_t panel = at.first_panel; panel < at.end_panel; ++panel) {
          packed_rows<T, true>(p, blocks.panels, panel, at.m, at.m + at.rows,
                               packed + blocks.panels.offset(panel), nothing);
        }
      },
      max_threads<T>(p.M, p.N, p.depth));
}

// The product of a few rows, by row, with B in panels, on the calling thread, which fetches what is
// wanted next.
template <class T>
void packed_product_here(const Product<T>& p, const T* packed, Fetch<T> fetch = {}) {
  const Panels<T> panels{p.depth, p.N};
  for (int64_t panel = 0; panel < panels.count(); ++panel) {
    packed_rows<T, true>(p, panels, panel, 0, p.M, packed + panels.offset(panel), fetch);
  }
}

}  // namespace convkit::CK_ISA
