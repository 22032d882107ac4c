// How the weight gradient by Winograd's algorithm cuts its work, from shapes alone. Used by the
// kernel and, for the size of the workspace, by the table.
#pragma once

#include "ops/conv2d/conv2d_plan.h"
#include "ops/conv2d/conv2d_weight_plan.h"

namespace convkit {

constexpr int64_t kWinogradWeightPoints = 36;  // of a tile of 6 x 6

// As in conv2d_weight_plan.h, a unit of work makes one block of dw, some channels times some
// filters, for one part of the tiles: its sums in the transformed domain, and the transforms of
// some tiles at a time, stay in the second cache. Blocks transform their channels anew, which costs
// less than the way of the transforms to a larger cache and back, and needs no memory that grows
// with C and K.
struct WinogradWeightPlan {
  int64_t C, K;              // channels and filters of a group
  int64_t tile;              // rows and columns of dy in a tile
  int64_t rows, columns;     // of tiles, in an image
  Chunks channels, filters;  // of a group, in a block
  int64_t blocks;            // of all groups
  Chunks tiles;              // of all images, in a row; so many are transformed at a time
  int64_t parts;             // of these
  int64_t slots;             // units in work at a time
  int64_t x_plane, dy_plane, sums_plane;  // values from one point to the next
  int64_t slot_bytes, part_bytes;

  CK_INLINE int64_t first_step(int64_t part) const { return part * tiles.count() / parts; }
  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE Workspace workspace() const { return {shared_bytes(), slots, slot_bytes}; }
  CK_INLINE int64_t shared_bytes() const {
    return parts > 1 ? checked_product(parts, part_bytes) : 0;
  }
};

// A block's sums take 590 KB, and so do the transforms of these tiles.
constexpr int64_t kWinogradWeightChannels = 64, kWinogradWeightFilters = 64;  // of a block
constexpr int64_t kWinogradWeightTiles = 32;                                  // at a time

CK_INLINE bool winograd_weight_fits(const Conv2dShape& s, const Conv2dParams& params) {
  return s.KH == s.KW && (s.KH == 3 || s.KH == 5) && params.stride_h == 1 &&
         params.stride_w == 1 && params.dilation_h == 1 && params.dilation_w == 1 &&
         weight_gradient_fits(s, params);
}

CK_INLINE WinogradWeightPlan winograd_weight_plan(const Conv2dShape& s,
                                                  const Conv2dParams& params) {
  constexpr int64_t bytes = 4, line = 16;
  WinogradWeightPlan plan = {};
  plan.C = s.C / params.groups, plan.K = s.K / params.groups;
  plan.tile = 7 - s.KH;
  plan.rows = ceil_div(s.P, plan.tile), plan.columns = ceil_div(s.Q, plan.tile);
  plan.channels = even_chunks(plan.C, kWinogradWeightChannels, line);
  plan.filters = even_chunks(plan.K, kWinogradWeightFilters, line);
  plan.blocks = checked_product(params.groups, plan.channels.count(), plan.filters.count());
  plan.tiles = even_chunks(checked_product(s.N, plan.rows, plan.columns), kWinogradWeightTiles, 1);

  const int64_t wanted = plan.blocks >= kConv2dSlots ? 1 : ceil_div(kConv2dSlots, plan.blocks);
  plan.parts = larger(smaller(smaller(wanted, parts_worth(s, params)), plan.tiles.count()), 1);
  plan.slots = conv2d_flops(s, params) < kConv2dSerialFlops
                   ? 1
                   : larger(smaller(plan.blocks * plan.parts, kConv2dSlots), 1);

  // A line more, so that the planes of a tile do not meet in one place of the cache.
  const int64_t channels = round_up(plan.channels.size, line);
  const int64_t filters = round_up(plan.filters.size, line);
  plan.x_plane = checked_product(plan.tiles.size, channels) + line;
  plan.dy_plane = checked_product(plan.tiles.size, filters) + line;
  plan.sums_plane = checked_product(channels, filters) + line;
  plan.slot_bytes = checked_product(kWinogradWeightPoints,
                                    checked_sum(plan.x_plane, plan.dy_plane, plan.sums_plane),
                                    bytes);
  plan.part_bytes = round_up(
      checked_product(checked_sum(checked_product(s.KH, s.KW, plan.C), 1), s.K, bytes), 64);
  return plan;
}

}  // namespace convkit
