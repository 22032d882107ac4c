// How the kernels of conv2d cut their work, from shapes alone. Used by the kernels and, for the
// size of the workspace, by the table.
#pragma once

#include "ops/conv2d/conv2d.h"

namespace convkit {

// At most this many threads work on one call, each with its own scratch memory (a slot).
constexpr int64_t kConv2dSlots = 16;
constexpr int64_t kConv2dScratchBytes = int64_t{48} << 20;

CK_INLINE constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
CK_INLINE constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

CK_INLINE double conv2d_flops(const Conv2dShape& s, const Conv2dParams& params) {
  return 2.0 * static_cast<double>(s.N * s.P * s.Q) * static_cast<double>(s.KH * s.KW * s.K) *
         static_cast<double>(s.C / params.groups);
}

// Below this a second thread costs more than it brings.
constexpr double kConv2dSerialFlops = 2e5;

// im2col: output pixels, of all images in a row, in tiles whose columns stay in the cache.
struct Im2colPlan {
  int64_t terms;         // KH*KW*C/groups: the length of a column
  bool direct;           // 1x1, stride 1, no padding: the image is its own column matrix
  Chunks tiles;          // of the N*P*Q pixels
  int64_t slots;         // forward: scratch tiles in use at a time
  int64_t column_bytes;  // of one tile
  Chunks parts;          // backward_weight: of the tiles; each part has a dw and db of its own
  int64_t part_bytes;
  Chunks images;  // backward_input: each chunk owns its images

  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE int64_t forward_workspace() const { return slots * column_bytes; }
  CK_INLINE int64_t backward_weight_workspace() const {
    return parts.count() * (column_bytes + part_bytes);
  }
};

CK_INLINE Im2colPlan im2col_plan(const Conv2dShape& s, const Conv2dParams& params, Dtype dtype) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  const int64_t pixels = s.N * s.P * s.Q;
  const double flops = conv2d_flops(s, params);
  Im2colPlan plan;
  plan.terms = s.KH * s.KW * (s.C / params.groups);
  plan.direct = s.KH == 1 && s.KW == 1 && params.stride_h == 1 && params.stride_w == 1 &&
                s.P == s.H && s.Q == s.W && params.pad_top == 0 && params.pad_left == 0;

  // 512 KB of columns, but no fewer than 128 pixels: the product packs w anew for every tile.
  const int64_t fit = larger((int64_t{512} << 10) / larger(plan.terms * bytes, 1), 128);
  int64_t tiles = ceil_div(pixels, fit);
  if (flops > 16e6) {
    tiles = round_up(tiles, 4);
  } else if (flops > 1e6) {
    tiles = round_up(tiles, 2);
  }
  plan.tiles = {pixels, larger(ceil_div(pixels, larger(tiles, 1)), 1)};
  tiles = plan.tiles.count();

  plan.column_bytes =
      plan.direct ? 0 : round_up(smaller(plan.tiles.size, pixels) * plan.terms * bytes, 64);
  const int64_t room = kConv2dScratchBytes / larger(plan.column_bytes, 1);
  const int64_t threads = flops < kConv2dSerialFlops ? 1 : kConv2dSlots;
  plan.slots = larger(smaller(smaller(tiles, threads), room), 1);

  plan.part_bytes = round_up((plan.terms + 1) * s.K * bytes, 64);
  const int64_t parts = larger(
      smaller(smaller(tiles, threads), kConv2dScratchBytes / (plan.column_bytes + plan.part_bytes)),
      1);
  plan.parts = {tiles, larger(ceil_div(tiles, parts), 1)};

  plan.images = {s.N, larger(ceil_div(s.N, smaller(larger(tiles, 1), 64)), 1)};
  return plan;
}

}  // namespace convkit
