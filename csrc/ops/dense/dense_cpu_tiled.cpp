// Products in register tiles that read their operands where they are, for weights that fit the
// second-level cache: packing, which large products need, costs small ones more than it brings.
#include "core/checked.h"
#include "gemm/column_sums.h"
#include "gemm/panels.h"
#include "gemm/tile.h"
#include "ops/activation/activation_apply.h"
#include "ops/dense/dense.h"

namespace convkit::CK_ISA {
namespace {

// C [M,N] = A B + bias, with B row-major [depth, N], rows ldb apart.
template <class T>
struct Product {
  int64_t M, N, depth;
  const T* a;
  bool a_by_row;   // true: the terms of a row are neighbours, the rows a_step apart;
  int64_t a_step;  // false: the rows are neighbours, the terms a_step apart
  const T* b;
  int64_t ldb;
  T* c;
  const T* bias;  // null: none
};

// One tile from row m on, columns j to j + NV vectors, `last` lanes of the last. `b_last` lanes of
// it are in B from term `safe` on; before that a whole vector can be read.
template <class T, bool kByRow, int MR, int NV>
void product_tile(const Product<T>& p, int64_t m, int64_t j, const T* b, int64_t ldb, int64_t safe,
                  int last) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  for (int v = 0; v < NV; ++v) {
    V start = V::zero();
    if (p.bias != nullptr) {
      const T* const from = p.bias + j + v * V::kLanes;
      start = v < NV - 1 ? V::loadu(from) : V::load_partial(from, last);
    }
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) tile.acc[r][v] = start;
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
  tile.store(0, p.c + m * p.N + j, p.N, last);
}

// The blocks of a product: some rows times one panel of columns, each a chunk of work.
template <class T>
struct Blocks {
  Panels<T> panels;
  Chunks rows;

  CK_INLINE explicit Blocks(const Product<T>& p) : panels{p.depth, p.N}, rows{p.M, 1} {
    // 0.3 MFLOP at least; a multiple of every tile size but one.
    const int64_t work = 150000 / checked_product(p.depth + 1, Panels<T>::kWidth);
    rows.size = round_up(work + 1, 24);
  }
  CK_INLINE int64_t count() const { return rows.count() * panels.count(); }
};

// Computes block `index`. `packed` holds B in panels, or is null.
template <class T, bool kByRow>
void product_block(const Product<T>& p, const Blocks<T>& blocks, int64_t index, const T* packed) {
  const Panels<T>& panels = blocks.panels;
  const int64_t panel = index % panels.count(), block = index / panels.count();
  const int64_t begin = blocks.rows.begin(block), j = panels.first(panel);
  const int last = panels.last_lanes(panel);
  const T* const b = packed != nullptr ? packed + panels.offset(panel) : p.b + j;
  const int64_t ldb = packed != nullptr ? panels.width(panel) : p.ldb;
  int64_t safe = p.depth;
  if (packed == nullptr && last < Vec<T>::kLanes) {
    const int64_t room = p.depth * ldb - j - panels.width(panel);
    safe = room < 0 ? 0 : room / ldb + 1;
  }
  with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
    for_each_tile(blocks.rows.end(block) - begin, tile_rows<T>(NV), [&](int64_t m, int size) {
      with_int<tile_rows<T>(NV)>(size, [&]<int MR>(Int<MR>) {
        product_tile<T, kByRow, MR, NV>(p, begin + m, j, b, ldb, safe, last);
      });
    });
  });
}

// dx for columns [begin, end) of a few rows: the rows of w are read as they are, one dot product
// each. For so few, packing the transpose would take longer than the product.
constexpr int64_t kDotRows = 4;

template <class T>
void dot_products(const T* dy, const T* w, int64_t R, int64_t C, int64_t K, int64_t begin,
                  int64_t end, T* dx) {
  using V = Vec<T>;
  const int rest = static_cast<int>(K % V::kLanes);
  for (int64_t c = begin; c < end; ++c) {
    const T* const from = w + c * K;
    for (int64_t r = 0; r < R; ++r) {
      V sum = V::zero();
      int64_t k = 0;
      for (; k + V::kLanes <= K; k += V::kLanes) {
        sum = fma(V::loadu(dy + r * K + k), V::loadu(from + k), sum);
      }
      if (rest > 0) {
        sum = fma(V::load_partial(dy + r * K + k, rest), V::load_partial(from + k, rest), sum);
      }
      dx[r * C + c] = reduce_sum(sum);
    }
  }
}

// About what one thread does in the time that it takes to wake another.
constexpr double kSerialFlops = 2e5;

template <class T>
CK_INLINE int max_threads(const Product<T>& p) {
  const double flops =
      2.0 * static_cast<double>(p.M) * static_cast<double>(p.N) * static_cast<double>(p.depth);
  return flops < kSerialFlops ? 1 : 0;
}

}  // namespace

void dense_tiled_forward(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const y = call[3].as<T>();
    const Product<T> p{R, K, C, call[0].as<T>(), true, C, call[1].as<T>(), K, y, call[2].as<T>()};
    const Blocks<T> blocks(p);
    call.pool->parallel_for(
        blocks.count(),
        [&](int64_t index, int) {
          product_block<T, true>(p, blocks, index, nullptr);
          const int64_t panel = index % blocks.panels.count();
          const int64_t block = index / blocks.panels.count();
          const int64_t j = blocks.panels.first(panel), m = blocks.rows.begin(block);
          const int64_t width = blocks.panels.width(panel);
          apply_bias_activation<T>(nullptr, static_cast<Activation>(params.activation),
                                   params.alpha, y + m * K + j, blocks.rows.end(block) - m,
                                   K - j < width ? K - j : width, K);
        },
        max_threads(p));
  });
}

void dense_tiled_backward_input(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Product<T> p{R, C, K, call[0].as<T>(), true, K, nullptr, 0, call[2].as<T>(), nullptr};
    if (R <= kDotRows) {
      const Chunks columns{C, 256};
      return call.pool->parallel_for(
          columns.count(),
          [&](int64_t chunk, int) {
            dot_products(p.a, call[1].as<T>(), R, C, K, columns.begin(chunk), columns.end(chunk),
                         p.c);
          },
          max_threads(p));
    }
    const Blocks<T> blocks(p);
    T* const packed = reinterpret_cast<T*>(call.workspace);
    call.pool->parallel_for(
        blocks.panels.count(),
        [&](int64_t panel, int) {
          blocks.panels.pack_transposed(panel, 0, K, call[1].as<T>(), packed);
        },
        max_threads(p));
    call.pool->parallel_for(
        blocks.count(),
        [&](int64_t index, int) { product_block<T, true>(p, blocks, index, packed); },
        max_threads(p));
  });
}

void dense_tiled_backward_weight(const Call& call) {
  const int64_t R = call[0].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    T* const db = call[3].as<T>();
    const Product<T> p{C, K, R, call[1].as<T>(), false, C, dy, K, call[2].as<T>(), nullptr};
    const Blocks<T> blocks(p);
    const int64_t extra = db != nullptr ? 1 : 0;  // the chunk of the bias gradient
    call.pool->parallel_for(
        blocks.count() + extra,
        [&](int64_t index, int) {
          if (index < extra) return column_sums(dy, R, K, db);
          product_block<T, false>(p, blocks, index - extra, nullptr);
        },
        max_threads(p));
  });
}

}  // namespace convkit::CK_ISA
