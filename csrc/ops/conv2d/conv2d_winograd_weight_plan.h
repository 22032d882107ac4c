// How the weight gradient by Winograd's algorithm (conv2d_winograd_weight.h) cuts its work, from
// shapes alone. Used by the kernels and, for the size of the workspace, by the table.
#pragma once

#include "ops/conv2d/conv2d_weight_plan.h"
#include "ops/conv2d/conv2d_winograd_plan.h"

namespace convkit {

// As in conv2d_weight_plan.h, a unit of work makes one block of dw, some channels times some
// filters of a group, for one part of the pixels, here of the tiles. It goes through these a few
// at a time, so that their transforms and the sums of the block's products stay in the second-level
// cache. That each block transforms its tiles anew costs less than to fetch the transforms from
// beyond that cache, and the scratch memory does not grow with C and K.
struct WinogradWeightPlan {
  int64_t C, K;              // channels and filters of a group
  int64_t rows, columns;     // of tiles, in an image
  Chunks channels, filters;  // of a group, in a block
  int64_t blocks;            // of all groups
  Chunks tiles;              // of all images, in a row: those of a step
  int64_t parts;             // of the steps
  int64_t slots;             // units in work at a time
  int64_t depth, width;      // values between two tiles, and two rows of sums
  int64_t slot_bytes;        // scratch of a unit
  int64_t part_bytes;        // of dw and db

  CK_INLINE int64_t first_step(int64_t part) const { return part * tiles.count() / parts; }
  CK_INLINE int64_t x_plane() const { return tiles.size * depth + kWinogradGap; }
  CK_INLINE int64_t dy_plane() const { return tiles.size * width + kWinogradGap; }
  CK_INLINE int64_t sums_plane() const { return channels.size * width + kWinogradGap; }
  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE Workspace workspace() const { return {shared_bytes(), slots, slot_bytes}; }
  CK_INLINE int64_t shared_bytes() const {
    return parts > 1 ? checked_product(parts, part_bytes) : 0;
  }
};

// A block's sums take 590 KB, and so do the transforms of a step.
constexpr int64_t kWinogradWeightBlock = 64, kWinogradWeightTiles = 32;

CK_INLINE bool winograd_weight_fits(const Conv2dShape& s, const Conv2dParams& params) {
  return winograd_fits(forward_correlation(s, params));
}

CK_INLINE WinogradWeightPlan winograd_weight_plan(const Conv2dShape& s,
                                                  const Conv2dParams& params) {
  constexpr int64_t bytes = 4, lanes = 16;
  const int64_t m = 7 - s.KH;  // rows and columns of dy in a tile
  WinogradWeightPlan plan = {};
  plan.C = s.C / params.groups, plan.K = s.K / params.groups;
  plan.rows = ceil_div(s.P, m), plan.columns = ceil_div(s.Q, m);
  plan.channels = even_chunks(plan.C, kWinogradWeightBlock, lanes);
  plan.filters = even_chunks(plan.K, kWinogradWeightBlock, lanes);
  plan.blocks = checked_product(params.groups, plan.channels.count(), plan.filters.count());
  plan.tiles = even_chunks(checked_product(s.N, plan.rows, plan.columns), kWinogradWeightTiles, 1);

  // At least kConv2dSlots units, if there is work for them and not yet enough blocks.
  const int64_t wanted = ceil_div(kConv2dSlots, larger(plan.blocks, 1));
  plan.parts = larger(smaller(smaller(wanted, parts_worth(s, params)), plan.tiles.count()), 1);
  plan.slots = conv2d_flops(s, params) < kConv2dSerialFlops
                   ? 1
                   : larger(smaller(checked_product(plan.blocks, plan.parts), kConv2dSlots), 1);

  plan.depth = round_up(plan.channels.size, lanes);
  plan.width = round_up(plan.filters.size, lanes);
  plan.slot_bytes = checked_product(
      kWinogradProducts, checked_sum(plan.x_plane(), plan.dy_plane(), plan.sums_plane()), bytes);
  plan.part_bytes = round_up(
      checked_product(checked_sum(checked_product(s.KH, s.KW, plan.C), 1), s.K, bytes), 64);
  return plan;
}

}  // namespace convkit
