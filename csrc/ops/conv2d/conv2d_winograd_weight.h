// The weight gradient of a convolution by Winograd's algorithm, block by block; see
// conv2d_winograd_weight_plan.h. For kernel sources only (core/isa.h).
//
//   dw = A^T [sum over tiles of (G dy G^T) . (B^T x B)] A
//
// for tiles of dy of 4 x 4 pixels (3 x 3 filters) or 2 x 2 (5 x 5) and the 6 x 6 of x that they
// meet. For each of the 36 values of a transform, the sum is a matrix product over the tiles.
#pragma once

#include "gemm/panels.h"
#include "gemm/product.h"
#include "gemm/runs.h"
#include "gemm/tree_sum.h"
#include "ops/conv2d/conv2d_winograd_matrices.h"
#include "ops/conv2d/conv2d_winograd_weight_plan.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {

// An image of H x W pixels, or some rows of it: pixel (h, w) is at data + h * row + w * pixel. The
// next image is `image` values further on; 0: it is not there yet.
struct WinogradImage {
  const float* data;
  int64_t H, W, row, pixel, image;
};

// Where the N x N pixels of a tile are; those outside the image are zeros.
template <int N>
struct WinogradPixels {
  const float* at[N][N];

  CK_INLINE WinogradPixels(const WinogradImage& image, int64_t h, int64_t w) {
    alignas(64) static constexpr float kZeros[kWinogradWeightBlock] = {};
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        const bool inside = h + i >= 0 && h + i < image.H && w + j >= 0 && w + j < image.W;
        at[i][j] = inside ? image.data + (h + i) * image.row + (w + j) * image.pixel : kZeros;
      }
    }
  }
};

// F X F^T of a tile X, for a transform F and one vector of channels: 36 values, `plane` apart.
template <int N, class F, class At>
CK_INLINE void transform_pixels(const F& transform, const WinogradPixels<N>& pixels, At at,
                                float* to, int64_t plane) {
  winograd_square<float, N, 6>(
      transform, [&](int i, int j) { return at.load(pixels.at[i][j]); },
      [&](int i, int j, Vec<float> value) { value.storeu(to + (i * 6 + j) * plane); });
}

// The sum of the pixels of a tile.
template <int N, class At>
CK_INLINE Vec<float> sum_of_pixels(const WinogradPixels<N>& pixels, At at) {
  Vec<float> sum = Vec<float>::zero();
  for (int i = 0; i < N; ++i) {
    Vec<float> row = at.load(pixels.at[i][0]);
    for (int j = 1; j < N; ++j) row += at.load(pixels.at[i][j]);
    sum += row;
  }
  return sum;
}

// The transforms of the tiles of a unit, a step at a time. rows(block, n, p0, p1, thread) says
// where rows [p0, p1) of image n of dy are, of the filters of a block.
template <int N, class Rows>
class WinogradWeightTiles {
 public:
  CK_INLINE WinogradWeightTiles(const Conv2dShape& s, const Conv2dParams& params,
                                const WinogradWeightPlan& plan, const WeightBlock& block,
                                const float* x, const Rows& rows, int64_t first_tile, int thread)
      : s_(s), params_(params), plan_(plan), block_(block), rows_(rows), thread_(thread) {
    x_ = x + block.g * plan.C + block.c0;
    column_ = first_tile % plan.columns;
    row_ = first_tile / plan.columns;
  }

  // Begins to fetch what the next `count` tiles are made of, a row of pixels with each fetch():
  // while products keep the processor busy, since the hardware does not foresee where pixels are of
  // which a block has only some channels. Pixels outside the image do no harm.
  CK_INLINE void fetch_next(int64_t count) {
    ahead_ = {row_ / plan_.rows,
              row_ % plan_.rows,
              column_,
              0,
              count,
              dy_.data - known_ / plan_.rows * dy_.image};
  }
  CK_INLINE void fetch() {
    if (ahead_.tiles == 0) return;
    const int64_t n = ahead_.n, p = ahead_.p * N, q = ahead_.q * N, i = ahead_.pixels;
    if (i < 6) {  // without the columns that the tile shares with the one before
      const int64_t h = n * s_.H + p + i - params_.pad_top, w = q + (6 - N) - params_.pad_left;
      fetch_row(x_ + (h * s_.W + w) * s_.C, s_.C, block_.C());
    } else if (dy_.image > 0) {
      fetch_row(ahead_.of_dy + n * dy_.image + (p + i - 6) * dy_.row + q * dy_.pixel, dy_.pixel,
                block_.K());
    }
    if (++ahead_.pixels < 6 + N) return;
    ahead_.pixels = 0;
    --ahead_.tiles;
    if (++ahead_.q == plan_.columns) ahead_.q = 0, ++ahead_.p;
    if (ahead_.p == plan_.rows) ahead_.p = 0, ++ahead_.n;
  }

  // Those of the next `count` tiles; adds their pixels of dy to db unless that is null.
  CK_INLINE void next(int64_t count, float* x, float* dy, float* db) {
    for (; count > 0; --count, x += plan_.depth, dy += plan_.width) {
      const int64_t n = row_ / plan_.rows, p = row_ % plan_.rows * N, q = column_ * N;
      if (row_ != known_) {
        known_ = row_;
        dy_ = rows_(block_, n, p, smaller(p + N, s_.P), thread_);
      }
      const int64_t row = s_.W * s_.C, size = s_.H * row;
      const WinogradImage image = {x_ + n * size, s_.H, s_.W, row, s_.C, size};
      const WinogradPixels<6> of_x(image, p - params_.pad_top, q - params_.pad_left);
      each_vector<float>(block_.C(), [&](auto at) {
        transform_pixels<6>(WinogradInput{}, of_x, at, x + at.j, plan_.x_plane());
      });
      const WinogradPixels<N> of_dy(dy_, p, q);
      each_vector<float>(block_.K(), [&](auto at) {
        transform_pixels<N>(WinogradEvaluate<N>{}, of_dy, at, dy + at.j, plan_.dy_plane());
        if (db != nullptr) at.store(db, at.load(db) + sum_of_pixels<N>(of_dy, at));
      });
      if (++column_ == plan_.columns) column_ = 0, ++row_;
    }
  }

 private:
  // N pixels, unless they are neighbours, which the hardware sees.
  CK_INLINE static void fetch_row(const float* at, int64_t pixel, int64_t channels) {
    if (pixel == channels) return;
    for (int j = 0; j < N; ++j, at += pixel) {
      for (int64_t c = 0; c < channels; c += 16) prefetch(at + c);
    }
  }

  const Conv2dShape& s_;
  const Conv2dParams& params_;
  const WinogradWeightPlan& plan_;
  const WeightBlock& block_;
  const Rows& rows_;
  int thread_;
  const float* x_;
  int64_t row_, column_;  // the next tile's; rows of all images are counted
  int64_t known_ = -1;    // the row of tiles that dy_ is of
  WinogradImage dy_ = {};
  struct {
    int64_t n, p, q;  // the tile: its image, its place among tiles
    int64_t pixels;   // the row of x, then of dy
    int64_t tiles;    // that are left
    const float* of_dy;
  } ahead_ = {};  // where fetch() is
};

// A product over `depth` tiles: sums [C, width] = or += x^T dy, for x [depth, C] and dy [depth, K]
// whose rows are x_step and width apart. It begins with zeros: sums of sums err less than one long
// sum.
struct WinogradWeightProduct {
  int64_t depth, x_step, width;
  bool add;
};

template <int MR, int NV>
void winograd_weight_tile(const WinogradWeightProduct& p, const float* x, const float* dy,
                          float* sums) {
  constexpr int lanes = Vec<float>::kLanes;
  const auto row = [](int m) { return int64_t{m}; };
  Tile<float, MR, NV> tile;
  tile.clear();
  tile.multiply(x, row, p.x_step, dy, p.width, p.depth);
  if (p.add) tile.template load<MR, true>(0, sums, p.width, lanes);
  tile.store(0, sums, p.width, lanes);
}

// Calls fetch() with each tile.
template <class Fetch>
CK_INLINE void winograd_weight_product(const WinogradWeightProduct& p, int64_t C, int64_t K,
                                       const float* x, const float* dy, float* sums,
                                       const Fetch& fetch) {
  const Panels<float> panels{p.depth, K};
  for (int64_t panel = 0; panel < panels.count(); ++panel) {
    const int64_t k = panels.first(panel);
    with_int<kTileVectors<float>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
      for_each_tile(C, tile_rows<float>(NV), [&](int64_t c, int size) {
        fetch();
        with_int<tile_rows<float>(NV)>(size, [&]<int MR>(Int<MR>) {
          winograd_weight_tile<MR, NV>(p, x + c, dy + k, sums + c * p.width + k);
        });
      });
    });
  }
}

// Transforms the sums of a block and writes them to its place in dw [M,M,C/groups,K].
template <int M>
void write_winograd_block(const WinogradWeightPlan& plan, const WeightBlock& block,
                          const float* sums, int64_t K, float* dw) {
  using V = Vec<float>;
  for (int64_t c = block.c0; c < block.c1; ++c, sums += plan.width) {
    float* const to = dw + c * K + block.g * plan.K + block.k0;
    each_vector<float>(block.K(), [&](auto at) {
      winograd_square<float, 6, M>(
          WinogradOutput<M>{},
          [&](int i, int j) {  // with the division that was left out of G dy G^T
            const float scale = static_cast<float>(kWinogradScales[i] * kWinogradScales[j]);
            return V(scale) * V::loadu(sums + (i * 6 + j) * plan.sums_plane() + at.j);
          },
          [&](int i, int j, V value) { at.store(to + (i * M + j) * plan.C * K, value); });
    });
  }
}

// All of dw and db, for filters of M x M.
template <int M, class Rows>
void winograd_weight_gradient(const Conv2dShape& s, const Conv2dParams& params,
                              const WinogradWeightPlan& plan, ThreadPool* pool,
                              std::byte* workspace, const float* x, const Rows& rows, float* dw,
                              float* db) {
  const int64_t weights = M * M * plan.C * s.K;
  const int64_t part_values = plan.part_bytes / int64_t{sizeof(float)};
  float* const part_sums = reinterpret_cast<float*>(workspace);
  std::byte* const slots = workspace + plan.shared_bytes();
  const bool shared = plan.parts == 1;  // a part that is the whole writes where that belongs
  pool->parallel_for(
      plan.parts * plan.blocks,
      [&](int64_t unit, int thread) {
        const int64_t part = unit / plan.blocks;
        const WeightBlock block(plan, unit % plan.blocks);
        float* const sums = reinterpret_cast<float*>(slots + thread * plan.slot_bytes);
        float* const of_x = sums + kWinogradProducts * plan.sums_plane();
        float* const of_dy = of_x + kWinogradProducts * plan.x_plane();
        float* const to = shared ? dw : part_sums + part * part_values;
        float* bias = shared ? db : to + weights;
        bias = db == nullptr || block.c0 > 0 ? nullptr : bias + block.g * plan.K + block.k0;
        if (bias != nullptr) clear_run(bias, block.K());
        const int64_t first = plan.first_step(part), end = plan.first_step(part + 1);
        WinogradWeightTiles<7 - M, Rows> tiles(s, params, plan, block, x, rows,
                                               plan.tiles.begin(first), thread);
        for (int64_t step = first; step < end; ++step) {
          const int64_t count = plan.tiles.end(step) - plan.tiles.begin(step);
          tiles.next(count, of_x, of_dy, bias);
          const WinogradWeightProduct p = {count, plan.depth, plan.width, step > first};
          if (step + 1 < end)
            tiles.fetch_next(plan.tiles.end(step + 1) - plan.tiles.begin(step + 1));
          for (int64_t i = 0; i < kWinogradProducts; ++i) {
            winograd_weight_product(p, block.C(), block.K(), of_x + i * plan.x_plane(),
                                    of_dy + i * plan.dy_plane(), sums + i * plan.sums_plane(),
                                    [&] { tiles.fetch(); });
          }
        }
        write_winograd_block<M>(plan, block, sums, s.K, to);
      },
      plan.max_threads());
  if (shared) return;
  if (db != nullptr) tree_sum(pool, part_sums + weights, plan.parts, part_values, s.K, db);
  tree_sum(pool, part_sums, plan.parts, part_values, weights, dw);
}

}  // namespace convkit::CK_ISA
