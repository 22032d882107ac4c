// The weight gradient of a convolution by Winograd's algorithm, block by block; see
// conv2d_winograd_weight_plan.h. For kernel sources only (core/isa.h).
//
// dw = A^T [sum over tiles of (G dy G^T) * (B^T x B)] A, for tiles of dy of 4 x 4 (3 x 3 filters)
// or 2 x 2 (5 x 5) and what they meet of x, 6 x 6 pixels. For each of the 36 points of the
// transforms, the sum is a matrix product over the tiles.
#pragma once

#include "gemm/panels.h"
#include "gemm/runs.h"
#include "gemm/tree_sum.h"
#include "ops/conv2d/conv2d_winograd_matrices.h"
#include "ops/conv2d/conv2d_winograd_weight_plan.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {

// A block of dw: channels [c0, c1) and filters [k0, k1) of group g.
struct WinogradWeightBlock {
  int64_t g, c0, c1, k0, k1;

  CK_INLINE WinogradWeightBlock(const WinogradWeightPlan& plan, int64_t index) {
    const int64_t k = index % plan.filters.count(), rest = index / plan.filters.count();
    const int64_t c = rest % plan.channels.count();
    g = rest / plan.channels.count();
    c0 = plan.channels.begin(c), c1 = plan.channels.end(c);
    k0 = plan.filters.begin(k), k1 = plan.filters.end(k);
  }
};

// Where the N x N pixels of a tile are; those outside the image are zeros.
template <int N>
struct WinogradPixels {
  const float* at[N][N];

  // From row h and column w of an image of H x W pixels on, which are row and pixel apart.
  CK_INLINE void find(const float* image, int64_t h, int64_t w, int64_t H, int64_t W, int64_t row,
                      int64_t pixel, const float* zeros) {
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        const bool inside = h + i >= 0 && h + i < H && w + j >= 0 && w + j < W;
        at[i][j] = inside ? image + (h + i) * row + (w + j) * pixel : zeros;
      }
    }
  }
};

// B^T x B of one vector of channels of a tile, written to 36 places, `plane` apart.
template <class At>
CK_INLINE void transform_x(const WinogradPixels<6>& pixels, At at, float* to, int64_t plane) {
  winograd_square<float, 6, 6>(
      WinogradInput{}, [&](int i, int j) { return at.load(pixels.at[i][j]); },
      [&](int i, int j, Vec<float> value) { value.storeu(to + (i * 6 + j) * plane); });
}

// G dy G^T without the division, which is left to the sums.
template <int N, class At>
CK_INLINE void transform_dy(const WinogradPixels<N>& pixels, At at, float* to, int64_t plane) {
  winograd_square<float, N, 6>(
      WinogradEvaluate<N>{}, [&](int i, int j) { return at.load(pixels.at[i][j]); },
      [&](int i, int j, Vec<float> value) { value.storeu(to + (i * 6 + j) * plane); });
}

// The sum of the pixels of a tile.
template <int N, class At>
CK_INLINE Vec<float> tile_sum(const WinogradPixels<N>& pixels, At at) {
  Vec<float> rows[N];
  for (int i = 0; i < N; ++i) {
    rows[i] = at.load(pixels.at[i][0]);
    for (int j = 1; j < N; ++j) rows[i] += at.load(pixels.at[i][j]);
  }
  for (int i = 1; i < N; ++i) rows[0] += rows[i];
  return rows[0];
}

// sums [C, ld] += x^T dy, for x [depth, lda] and dy [depth, ld].
struct WinogradProduct {
  int64_t depth, lda, ld;
  bool add;
};

template <int MR, int NV>
void winograd_weight_tile(const WinogradProduct& p, const float* x, const float* dy, float* sums) {
  constexpr int lanes = Vec<float>::kLanes;
  Tile<float, MR, NV> tile;
  if (p.add) {
    tile.load(0, sums, p.ld, lanes);
  } else {
    tile.clear();
  }
  const int64_t lda = p.lda, ld = p.ld;
  tile.multiply(x, [](int m) { return int64_t{m}; }, lda, dy, ld, p.depth);
  tile.store(0, sums, ld, lanes);
}

CK_INLINE void winograd_product(const WinogradProduct& p, int64_t C, int64_t K, const float* x,
                                const float* dy, float* sums) {
  const Panels<float> panels{0, K};
  for (int64_t panel = 0; panel < panels.count(); ++panel) {
    const int64_t k = panels.first(panel);
    with_int<kTileVectors<float>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
      constexpr int most = tile_rows<float>(NV);
      for_each_tile(C, most, [&](int64_t c, int size) {
        with_int<most>(size, [&]<int MR>(Int<MR>) {
          winograd_weight_tile<MR, NV>(p, x + c, dy + k, sums + c * p.ld + k);
        });
      });
    });
  }
}

// Writes the sums of a block to its place in dw [M,M,C/groups,K].
template <int M>
void write_winograd_block(const WinogradWeightPlan& plan, const WinogradWeightBlock& block,
                          const float* sums, int64_t ld, int64_t K, float* dw) {
  using V = Vec<float>;
  for (int64_t c = block.c0; c < block.c1; ++c, sums += ld) {
    float* const to = dw + c * K + block.g * plan.K + block.k0;
    each_vector<float>(block.k1 - block.k0, [&](auto at) {
      winograd_square<float, 6, M>(
          WinogradOutput<M>{},
          [&](int i, int j) {
            const double scale = kWinogradScales[i] * kWinogradScales[j];
            const float* const from = sums + (i * 6 + j) * plan.sums_plane + at.j;
            return V(static_cast<float>(scale)) * V::loadu(from);
          },
          [&](int i, int j, V value) { at.store(to + (i * M + j) * plan.C * K, value); });
    });
  }
}

// Rows of dy: pixel (p, q) of the image is at data + p * row + q * pixel.
struct GradientRows {
  const float* data;
  int64_t row, pixel;
};

// All of dw and db, for filters of M x M. rows(block, n, p0, p1, thread) says where rows [p0, p1)
// of image n of dy are, of the filters of a block.
template <int M, class Rows>
void winograd_weight_gradient(const Conv2dShape& s, const Conv2dParams& params, ThreadPool* pool,
                              std::byte* workspace, const float* x, const Rows& rows, float* dw,
                              float* db) {
  constexpr int N = 7 - M;
  alignas(64) static constexpr float kZeros[larger(kWinogradWeightChannels, kWinogradWeightFilters)] = {};
  const WinogradWeightPlan plan = winograd_weight_plan(s, params);
  const int64_t weights = M * M * plan.C * s.K, part_values = plan.part_bytes / 4;
  float* const part_sums = reinterpret_cast<float*>(workspace);
  const bool whole = plan.parts == 1;
  pool->parallel_for(
      plan.parts * plan.blocks,
      [&](int64_t unit, int thread) {
        const int64_t part = unit / plan.blocks;
        const WinogradWeightBlock block(plan, unit % plan.blocks);
        const int64_t C = block.c1 - block.c0, K = block.k1 - block.k0;
        const int64_t lda = round_up(C, 16), ld = round_up(K, 16);
        float* const sums = reinterpret_cast<float*>(workspace + plan.shared_bytes() +
                                                     thread * plan.slot_bytes);
        float* const xs = sums + kWinogradWeightPoints * plan.sums_plane;
        float* const dys = xs + kWinogradWeightPoints * plan.x_plane;
        float* const to = whole ? dw : part_sums + part * part_values;
        float* bias = whole ? db : to + weights;
        bias = db == nullptr || block.c0 > 0 ? nullptr : bias + block.g * plan.K + block.k0;
        if (bias != nullptr) clear_run(bias, K);
        const int64_t first = plan.first_step(part), end = plan.first_step(part + 1);
        if (first == end) clear_run(sums, kWinogradWeightPoints * plan.sums_plane);
        for (int64_t step = first; step < end; ++step) {
          const int64_t t0 = plan.tiles.begin(step), t1 = plan.tiles.end(step);
          int64_t q = t0 % plan.columns, p = t0 / plan.columns % plan.rows;
          int64_t n = t0 / (plan.columns * plan.rows);
          GradientRows dy = rows(block, n, p * N, smaller((p + 1) * N, s.P), thread);
          for (int64_t t = 0; t < t1 - t0; ++t) {
            WinogradPixels<6> image;
            image.find(x + n * s.H * s.W * s.C + block.g * plan.C + block.c0,
                       p * N - params.pad_top, q * N - params.pad_left, s.H, s.W, s.W * s.C, s.C,
                       kZeros);
            each_vector<float>(
                C, [&](auto at) { transform_x(image, at, xs + t * lda + at.j, plan.x_plane); });
            WinogradPixels<N> gradient;
            gradient.find(dy.data, p * N, q * N, s.P, s.Q, dy.row, dy.pixel, kZeros);
            each_vector<float>(K, [&](auto at) {
              transform_dy<N>(gradient, at, dys + t * ld + at.j, plan.dy_plane);
              if (bias != nullptr) at.store(bias, at.load(bias) + tile_sum(gradient, at));
            });
            if (++q == plan.columns) {
              q = 0;
              if (++p == plan.rows) p = 0, ++n;
              if (t + 1 < t1 - t0) dy = rows(block, n, p * N, smaller((p + 1) * N, s.P), thread);
            }
          }
          const WinogradProduct product = {t1 - t0, lda, ld, step > first};
          for (int64_t e = 0; e < kWinogradWeightPoints; ++e) {
            winograd_product(product, C, K, xs + e * plan.x_plane, dys + e * plan.dy_plane,
                             sums + e * plan.sums_plane);
          }
        }
        write_winograd_block<M>(plan, block, sums, ld, s.K, to);
      },
      plan.max_threads());
  if (whole) return;
  if (db != nullptr) tree_sum(pool, part_sums + weights, plan.parts, part_values, s.K, db);
  tree_sum(pool, part_sums, plan.parts, part_values, weights, dw);
}

}  // namespace convkit::CK_ISA
