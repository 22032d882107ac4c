// How Winograd's convolution (conv2d_winograd.h) is cut into tasks, from shapes alone. Used by the
// kernels and, for the size of the workspace, by the table.
#pragma once

#include "ops/conv2d/conv2d_correlation_plan.h"

namespace convkit {

// Float32 only. A tile is M x M values of the result, made of 6 x 6 of the image: as many products
// for each channel and filter, where the definition has M*M*KH*KW.
constexpr int64_t kWinogradProducts = 36;
// Values that a plane, one product of all tiles, is longer than it need be: planes then do not
// contend for the same lines of a cache.
constexpr int64_t kWinogradGap = 16;

CK_INLINE bool winograd_fits(const Correlation& c) {
  return c.s.KH == c.s.KW && (c.s.KH == 3 || c.s.KH == 5) && c.params.stride_h == 1 &&
         c.params.stride_w == 1 && c.params.dilation_h == 1 && c.params.dilation_w == 1 &&
         c.s.N > 0 && correlation_fits(c);
}

struct WinogradPlan {
  int64_t tile_rows, tile_columns;  // tiles of an image
  int64_t depth;                    // values between the transforms of two tiles: of all channels
  Chunks blocks;                    // of the tiles of all images, in a row
  Chunks columns;                   // of the filters of a group
  // Few tiles, large filters: the transforms of all tiles are made beforehand, and a task is a
  // block of tiles times some filters, which are then read but once. Otherwise it is a block.
  bool by_filters;
  int64_t slots;
  int64_t filter_bytes, input_bytes;  // of what all tasks share
  int64_t slot_bytes;

  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE int64_t input_plane() const { return blocks.size * depth + kWinogradGap; }
  CK_INLINE int64_t product_plane() const { return blocks.size * columns.size + kWinogradGap; }
  CK_INLINE int64_t block_input() const { return kWinogradProducts * input_plane(); }
  CK_INLINE Workspace workspace() const {
    return {checked_sum(filter_bytes, input_bytes), slots, slot_bytes};
  }
};

#ifdef WINO_TUNE
extern int64_t tune_tiles, tune_columns, tune_gap, tune_by;
#endif

CK_INLINE WinogradPlan winograd_plan(const Correlation& c) {
  constexpr int64_t bytes = 4, lanes = 16;
  const int64_t m = 7 - c.s.KH, C = c.group_C(), K = c.group_K(), groups = c.params.groups;
  WinogradPlan plan = {};
  plan.tile_rows = ceil_div(c.s.P, m), plan.tile_columns = ceil_div(c.s.Q, m);
  const int64_t tiles = checked_product(c.s.N, plan.tile_rows, plan.tile_columns);
  plan.depth = round_up(C, lanes);
  int64_t most = 112, columns = 128;
#ifdef WINO_TUNE
  most = tune_tiles, columns = tune_columns;
  plan.depth += tune_gap;
#endif
  plan.columns = {K, smaller(columns, round_up(K, lanes))};
  plan.by_filters = tiles <= 2 * most;
#ifdef WINO_TUNE
  if (tune_by >= 0) plan.by_filters = tune_by;
#endif
  plan.blocks = {tiles, smaller(most, tiles)};
  if (plan.tile_columns < most / 2) {
    plan.blocks.size = smaller(most / plan.tile_columns * plan.tile_columns, tiles);
  }
  const int64_t column_plane = checked_sum(checked_product(C, plan.columns.size), kWinogradGap);
  plan.filter_bytes =
      checked_product(checked_product(groups, plan.columns.count(), kWinogradProducts),
                      checked_product(column_plane, bytes));
  const int64_t input = checked_product(plan.block_input(), bytes);
  plan.input_bytes =
      plan.by_filters ? checked_product(groups, plan.blocks.count(), input) : int64_t{0};
  const int64_t tasks = plan.by_filters
                            ? checked_product(plan.blocks.count(), groups, plan.columns.count())
                            : plan.blocks.count();
  plan.slots = smaller(larger(tasks, 1), kConv2dSlots);
  const int64_t packed = checked_product(c.terms(), smaller(64, round_up(K, lanes)), bytes);
  const int64_t products = checked_product(kWinogradProducts, plan.product_plane(), bytes);
  plan.slot_bytes =
      round_up(larger(packed, checked_sum(products, plan.by_filters ? 0 : input)), 64);
  return plan;
}

}  // namespace convkit
