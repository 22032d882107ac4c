// Convolution by Winograd's method (conv2d_winograd_matrices.h): the filters and, a block of tiles
// at a time, the image are transformed; the channels are summed up in 36 matrix products; their
// results are transformed to tiles of y. For kernel sources only (core/isa.h).
//
// In NHWC all transforms work on vectors of channels. Of a block, V[36][tiles][channels] and the
// products M[36][tiles][filters], of some filters at a time, stay in the second-level cache.
#pragma once

#include "gemm/product.h"
#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d_correlation.h"
#include "ops/conv2d/conv2d_winograd_matrices.h"
#include "ops/conv2d/conv2d_winograd_plan.h"

namespace convkit::CK_ISA {

// What all tasks of a pass share.
struct WinogradPass {
  Correlation c;
  WinogradPlan plan;
  const float* w;     // [KH,KW,C/groups,K] of the forward pass
  const float* bias;  // null: none
  float* filters;     // transformed: [groups][columns][36][panels][C][a panel's width]
  float* input;       // plan.by_filters: transformed, [groups][blocks][36][tiles][depth]
  float* scratch;     // of all slots
  Through<float> through;

  CK_INLINE float* slot(int thread) const {
    return scratch + thread * (plan.slot_bytes / int64_t{sizeof(float)});
  }
  // Between the filters' products.
  CK_INLINE int64_t filter_plane() const { return c.group_C() * plan.columns.size + kWinogradGap; }
  CK_INLINE float* columns(int64_t g, int64_t chunk) const {
    return filters + (g * plan.columns.count() + chunk) * kWinogradProducts * filter_plane();
  }
};

CK_INLINE WinogradPass winograd_pass(const Correlation& c, const WinogradPlan& plan, const float* w,
                                     const float* bias, std::byte* workspace,
                                     const Through<float>& through = {}) {
  std::byte* const input = workspace + plan.filter_bytes;
  return {c,
          plan,
          w,
          bias,
          reinterpret_cast<float*>(workspace),
          reinterpret_cast<float*>(input),
          reinterpret_cast<float*>(input + plan.input_bytes),
          through};
}

// Where a tile is: its image, its first row and column of the result.
struct WinogradTile {
  int64_t n, p, q;
};
template <int M>
CK_INLINE WinogradTile winograd_tile(const WinogradPlan& plan, int64_t index) {
  const int64_t row = index / plan.tile_columns;
  return {row / plan.tile_rows, row % plan.tile_rows * M, index % plan.tile_columns * M};
}

// Transforms the filters of one panel: packed [R*R][C][width] to planes of [C][width].
template <int R>
void winograd_filters(const float* packed, int64_t C, int64_t width, float* to, int64_t plane) {
  using V = Vec<float>;
  const int64_t values = C * width;
  for (int64_t at = 0; at < values; at += V::kLanes) {
    winograd_square<float, R, 6>(
        WinogradEvaluate<R>{},
        [&](int i, int j) { return V::loadu(packed + at + (i * R + j) * values); },
        [&](int i, int j, V value) {
          const float scale = static_cast<float>(kWinogradScales[i] * kWinogradScales[j]);
          (value * V(scale)).storeu(to + at + (i * 6 + j) * plane);
        });
  }
}

// Transforms 6 x 6 pixels of `vectors` vectors of channels.
inline void winograd_input_tile(const float* from, int64_t row, int64_t pixel, int64_t vectors,
                                float* to, int64_t plane) {
  using V = Vec<float>;
  for (int64_t v = 0; v < vectors; ++v, from += V::kLanes, to += V::kLanes) {
    winograd_square<float, 6, 6>(
        WinogradInput{}, [&](int i, int j) { return V::loadu(from + i * row + j * pixel); },
        [&](int i, int j, V value) { value.storeu(to + (i * 6 + j) * plane); });
  }
}

// Transforms the tiles [t0, t1) of a group's channels. rows(n, begin, end) is where row 0 of image
// n would be, of which rows [begin, end) are there.
template <int M, class Rows>
void winograd_input(const WinogradPass& pass, int64_t g, int64_t t0, int64_t t1, const Rows& rows,
                    float* to) {
  using V = Vec<float>;
  const Conv2dShape& s = pass.c.s;
  const int64_t C = pass.c.group_C(), whole = C / V::kLanes, row = s.W * s.C;
  const int64_t plane = pass.plan.input_plane();
  const float* image = nullptr;
  int64_t before = -1;  // the row of tiles of `image`
  for (int64_t t = t0; t < t1; ++t, to += pass.plan.depth) {
    const WinogradTile tile = winograd_tile<M>(pass.plan, t);
    const int64_t h = tile.p - pass.c.params.pad_top, w = tile.q - pass.c.params.pad_left;
    const int64_t h0 = smaller(larger(h, 0), s.H), h1 = larger(smaller(h + 6, s.H), h0);
    if (t / pass.plan.tile_columns != before) {
      before = t / pass.plan.tile_columns;
      image = rows(tile.n, h0, h1) + g * C;
    }
    const float* const from = image + h * row + w * s.C;
    const bool inside = h >= 0 && w >= 0 && h + 6 <= s.H && w + 6 <= s.W;
    if (inside) winograd_input_tile(from, row, s.C, whole, to, plane);
    for (int64_t v = inside ? whole : 0; v * V::kLanes < C; ++v) {
      const int lanes = static_cast<int>(smaller(C - v * V::kLanes, V::kLanes));
      alignas(64) float copy[36 * V::kLanes];
      for (int64_t i = 0; i < 6; ++i) {
        for (int64_t j = 0; j < 6; ++j) {
          const bool there = h + i >= 0 && h + i < s.H && w + j >= 0 && w + j < s.W;
          const float* const value = from + i * row + j * s.C + v * V::kLanes;
          const V pixel = !there               ? V::zero()
                          : lanes == V::kLanes ? V::loadu(value)
                                               : V::load_partial(value, lanes);
          pixel.store(copy + (i * 6 + j) * V::kLanes);
        }
      }
      winograd_input_tile(copy, 6 * V::kLanes, V::kLanes, 1, to + v * V::kLanes, plane);
    }
  }
}

// The 36 products of `tiles` tiles and a chunk of columns: V [36][tiles][depth] times
// [36][panels][C][width] to M [36][tiles][columns]. While a panel is in use, the next one is
// fetched and, of the next product's V, the part that is due.
inline void winograd_products(const WinogradPass& pass, int64_t tiles, int64_t columns,
                              const float* input, const float* filters, float* products) {
  const WinogradPlan& plan = pass.plan;
  const int64_t C = pass.c.group_C();
  const Panels<float> panels{C, columns};
  const Chunks shares{tiles * plan.depth,
                      round_up(ceil_div(tiles * plan.depth, panels.count()), 16)};
  for (int64_t product = 0; product < kWinogradProducts; ++product) {
    const bool more = product + 1 < kWinogradProducts;
    const float* const next = filters + pass.filter_plane();
    for (int64_t panel = 0; panel < panels.count(); ++panel) {
      const float* const b = filters + panels.offset(panel);
      const bool last = panel + 1 == panels.count();
      with_int<kTileVectors<float>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
        constexpr int kRows = tile_rows<float>(NV);
        float* const to = products + panels.first(panel);
        const Product<float> p = {tiles, columns,          C, input, plan.depth, nullptr, 0,
                                  to,    plan.columns.size};
        const int64_t begin = shares.begin(panel), end = smaller(shares.end(panel), shares.n);
        const Fetch<float>::Matrix of_filters = {last ? next : b + C * panels.width(panel), 0,
                                                 !last || more ? 1 : 0,
                                                 C * panels.width(last ? 0 : panel + 1)};
        const Fetch<float>::Matrix of_input = {input + plan.input_plane() + begin, 0,
                                               more && begin < end ? 1 : 0, end - begin};
        Fetch<float> fetch(of_filters, of_input,
                           ceil_div(tiles, kRows) * ceil_div(C, Fetch<float>::kLine));
        for_each_tile(tiles, kRows, [&](int64_t t, int size) {
          with_int<kRows>(size, [&]<int MR>(Int<MR>) {
            packed_tile<float, true, MR, NV>(p, t, 0, b, Vec<float>::kLanes, fetch);
          });
        });
      });
    }
    input += plan.input_plane(), filters = next, products += plan.product_plane();
  }
}

// The results of one tile and one vector of filters, the first of all being `first`, with bias and
// relu.
template <int M, class At>
CK_INLINE void winograd_results(const WinogradPass& pass, const float* products, int64_t first,
                                At at, Vec<float> (&y)[M][M]) {
  using V = Vec<float>;
  const int64_t plane = pass.plan.product_plane();
  const bool relu = pass.c.params.activation == static_cast<int64_t>(Activation::relu);
  const V bias = pass.bias != nullptr ? at.load(pass.bias + first) : V::zero();
  const V floor = V(relu ? 0.0f : -__builtin_inff());
  winograd_square<float, 6, M>(
      WinogradOutput<M>{},
      [&](int i, int j) { return V::loadu(products + at.j + (i * 6 + j) * plane); },
      [&](int i, int j, V value) { y[i][j] = max_or_second(floor, value + bias); });
}

// Where tiles go: to y [N,P,Q,K], with activation and the derivative of an earlier one.
template <int M>
struct WinogradResult {
  const WinogradPass& pass;
  float* y;

  // `count` filters, from `first` on.
  void operator()(const WinogradTile& tile, int64_t first, int64_t count,
                  const float* products) const {
    const Conv2dShape& s = pass.c.s;
    const int64_t row = s.Q * s.K, pixel = s.K;
    const int rows = static_cast<int>(smaller(s.P - tile.p, M));
    const int columns = static_cast<int>(smaller(s.Q - tile.q, M));
    float* const to = y + (tile.n * s.P + tile.p) * row + tile.q * pixel + first;
    each_vector<float>(count, [&](auto at) {
      Vec<float> values[M][M];
      winograd_results<M>(pass, products, first, at, values);
      const bool whole = rows == M && columns == M;
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < M; ++j) {
          if (whole || (i < rows && j < columns)) at.store(to + i * row + j * pixel, values[i][j]);
        }
      }
    });
    const Activation kind = static_cast<Activation>(pass.c.params.activation);
    const bool done = kind == Activation::linear || kind == Activation::relu;
    if (done && !pass.through) return;
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        float* const at = to + i * row + j * pixel;
        if (!done) apply_activation(kind, pass.c.params.alpha, at, count);
        if (pass.through) pass.through(at - pass.through.dx, count);
      }
    }
  }
};

// Products and results of the tiles of a block, for some columns of a group.
template <int M, class Result>
void winograd_columns(const WinogradPass& pass, int64_t block, int64_t g, int64_t chunk,
                      const float* input, float* products, const Result& result) {
  const WinogradPlan& plan = pass.plan;
  const int64_t t0 = plan.blocks.begin(block), t1 = plan.blocks.end(block);
  const int64_t k0 = plan.columns.begin(chunk), count = plan.columns.end(chunk) - k0;
  winograd_products(pass, t1 - t0, count, input, pass.columns(g, chunk), products);
  for (int64_t t = t0; t < t1; ++t, products += plan.columns.size) {
    result(winograd_tile<M>(plan, t), g * pass.c.group_K() + k0, count, products);
  }
}

// The transforms of all filters.
template <int R>
void winograd_prepare(const WinogradPass& pass, ThreadPool* pool) {
  const WinogradPlan& plan = pass.plan;
  const int64_t C = pass.c.group_C(), K = pass.c.group_K();
  const Panels<float> all{pass.c.terms(), K};
  pool->parallel_for(
      pass.c.params.groups * all.count(),
      [&](int64_t index, int thread) {
        const int64_t g = index / all.count(), panel = index % all.count();
        float* const packed = pass.slot(thread);
        pack_filters(pass.c, all, pass.w, g, panel, packed - all.offset(panel));
        const int64_t chunk = all.first(panel) / plan.columns.size;
        const int64_t at = all.first(panel) - plan.columns.begin(chunk);
        winograd_filters<R>(packed, C, all.width(panel), pass.columns(g, chunk) + at * C,
                            pass.filter_plane());
      },
      plan.max_threads());
}

// All of a pass. rows(n, begin, end, thread) gives rows of an image, result(tile, ...) takes tiles.
template <int M, class Rows, class Result>
void run_winograd(const WinogradPass& pass, ThreadPool* pool, const Rows& rows,
                  const Result& result) {
  const WinogradPlan& plan = pass.plan;
  const int64_t groups = pass.c.params.groups, columns = plan.columns.count();
  winograd_prepare<7 - M>(pass, pool);
  const auto transform = [&](int64_t g, int64_t block, int64_t t0, int64_t t1, int thread,
                             float* to) {
    winograd_input<M>(
        pass, g, t0, t1,
        [&](int64_t n, int64_t begin, int64_t end) { return rows(n, begin, end, thread); },
        to + (t0 - plan.blocks.begin(block)) * plan.depth);
  };
  const auto input_of = [&](int64_t g, int64_t block) {
    return pass.input + (g * plan.blocks.count() + block) * plan.block_input();
  };
  if (!plan.by_filters) {
    pool->parallel_for(
        plan.blocks.count(),
        [&](int64_t block, int thread) {
          float* const input = pass.slot(thread);
          for (int64_t g = 0; g < groups; ++g) {
            transform(g, block, plan.blocks.begin(block), plan.blocks.end(block), thread, input);
            for (int64_t chunk = 0; chunk < columns; ++chunk) {
              winograd_columns<M>(pass, block, g, chunk, input, input + plan.block_input(), result);
            }
          }
        },
        plan.max_threads());
    return;
  }
  const Chunks tile_rows{plan.blocks.n, plan.tile_columns};
  pool->parallel_for(
      groups * tile_rows.count(),
      [&](int64_t index, int thread) {
        const int64_t g = index / tile_rows.count(), row = index % tile_rows.count();
        for (int64_t t = tile_rows.begin(row), end = tile_rows.end(row); t < end;) {
          const int64_t block = t / plan.blocks.size, t1 = smaller(plan.blocks.end(block), end);
          transform(g, block, t, t1, thread, input_of(g, block));
          t = t1;
        }
      },
      plan.max_threads());
  pool->parallel_for(
      groups * columns * plan.blocks.count(),
      [&](int64_t index, int thread) {
        const int64_t block = index % plan.blocks.count(), filters = index / plan.blocks.count();
        const int64_t g = filters / columns;
        winograd_columns<M>(pass, block, g, filters % columns, input_of(g, block),
                            pass.slot(thread), result);
      },
      plan.max_threads());
}

// The same for filters of 3 x 3 or 5 x 5, to y [N,P,Q,K].
template <class Rows>
void run_winograd(const WinogradPass& pass, ThreadPool* pool, const Rows& rows, float* y) {
  if (pass.c.s.KH == 3) return run_winograd<4>(pass, pool, rows, WinogradResult<4>{pass, y});
  run_winograd<2>(pass, pool, rows, WinogradResult<2>{pass, y});
}

}  // namespace convkit::CK_ISA
