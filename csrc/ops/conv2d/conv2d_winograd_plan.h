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

// Tiles of a block: so many where the filters are read from beyond the second-level cache, since
// each block reads them all, and half as many where V and M shall share it with them.
constexpr int64_t kWinogradTiles = 108, kWinogradColumns = 128;
constexpr int64_t kWinogradFilterCache = int64_t{4} << 20;
constexpr int64_t kWinogradMaxWorkspace = int64_t{256} << 20;

CK_INLINE WinogradPlan winograd_plan(const Correlation& c) {
  constexpr int64_t bytes = 4, lanes = 16;
  const int64_t m = 7 - c.s.KH, C = c.group_C(), K = c.group_K(), groups = c.params.groups;
  WinogradPlan plan = {};
  plan.tile_rows = ceil_div(c.s.P, m), plan.tile_columns = larger(ceil_div(c.s.Q, m), 1);
  plan.depth = round_up(C, lanes) + kWinogradGap;
  plan.columns = {K, smaller(kWinogradColumns, round_up(K, lanes))};
  const int64_t chunks = plan.columns.count();
  const int64_t column_plane = checked_sum(checked_product(C, plan.columns.size), kWinogradGap);
  plan.filter_bytes =
      checked_product(groups, chunks, checked_product(kWinogradProducts, column_plane, bytes));

  // Whole rows of tiles, unless they are long.
  const bool large = plan.filter_bytes > groups * kWinogradFilterCache;
  const int64_t most = large ? kWinogradTiles : kWinogradTiles / 2;
  const int64_t rows = checked_product(c.s.N, plan.tile_rows);
  const int64_t tiles = checked_product(rows, plan.tile_columns);
  const int64_t row = plan.tile_columns <= most / 2 ? plan.tile_columns : 1;
  plan.blocks = {tiles, checked_product(balanced_chunks(tiles / row, most / row).size, row)};

  const int64_t input =
      checked_product(plan.blocks.count(), kWinogradProducts,
                      checked_product(plan.input_plane(), checked_product(groups, bytes)));
  plan.by_filters = input <= plan.filter_bytes && groups * chunks > 1;
  plan.input_bytes = plan.by_filters ? input : 0;
  const int64_t tasks = checked_product(plan.blocks.count(), plan.by_filters ? groups * chunks : 1);
  plan.slots = conv2d_flops(c.s, c.params) < kConv2dSerialFlops
                   ? 1
                   : larger(smaller(tasks, kConv2dSlots), 1);
  const int64_t packed = checked_product(c.terms(), smaller(64, plan.columns.size), bytes);
  const int64_t own = plan.by_filters ? 0 : plan.input_plane();
  const int64_t planes = checked_sum(plan.product_plane(), own);
  plan.slot_bytes = round_up(larger(packed, checked_product(kWinogradProducts, planes, bytes)), 64);
  return plan;
}

}  // namespace convkit
