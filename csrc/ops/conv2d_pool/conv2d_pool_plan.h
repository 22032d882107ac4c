// How the kernels of conv2d_pool cut their work, from shapes alone: as those of conv2d, but that a
// task of the forward pass has whole windows. Used by the kernels and, for the size of the
// workspace, by the table.
#pragma once

#include "ops/conv2d/conv2d_correlation_plan.h"
#include "ops/conv2d/conv2d_weight_plan.h"
#include "ops/conv2d/conv2d_winograd_plan.h"
#include "ops/conv2d/conv2d_winograd_weight_plan.h"
#include "ops/conv2d_pool/conv2d_pool.h"

namespace convkit {

// A task has a chunk of images and a band of rows of windows. It goes through them a few rows of
// windows at a time, which keep the rows of z that the next ones meet again: only where two bands
// meet are rows of z computed twice.
struct Conv2dPoolPlan {
  Correlation c;
  CorrelationPlan conv;  // its rows are the bands, of rows of windows
  int64_t step;          // rows of windows at a time
  int64_t rows;          // of z that there is room for
  int64_t channels;      // of z, in a task
  int64_t tasks;
  int64_t slot_bytes;  // of these, the rows of z come last

  // Of z, for each image of a task.
  CK_INLINE int64_t z_values() const { return checked_product(rows, c.s.Q, channels); }
};

// At most one in so many rows is computed twice.
constexpr int64_t kConv2dPoolTwice = 20;

CK_INLINE Conv2dPoolPlan conv2d_pool_plan(const Conv2dShape& s, const Conv2dPoolParams& params,
                                          int64_t PP, Dtype dtype) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  Conv2dPoolPlan plan = {forward_correlation(s, conv2d_of(params)), {}, 1, 0, s.K, 0, 0};
  plan.conv = correlation_plan(plan.c, dtype);
  CorrelationPlan& conv = plan.conv;
  const int64_t stride = params.pool_stride_h, window = params.window_h;
  plan.step = smaller(larger(conv.rows.size / stride, 1), larger(PP, 1));
  int64_t band = plan.step;
  if (window > stride) {
    const int64_t twice = checked_product(window - stride, kConv2dPoolTwice);
    const int64_t bands = smaller(1 + s.P / twice, larger(PP / plan.step, 1));
    band = ceil_div(larger(PP, 1), bands);
    // These are few: smaller chunks of images make up for it.
    const int64_t few = ceil_div(checked_product(s.N, bands), kConv2dSlots);
    const int64_t images = smaller(larger(few, conv.interleaved > 0 ? 4 : 1), conv.images.size);
    if (!conv.by_filters) conv.images.size = images;
    if (conv.interleaved > 0) conv.interleaved = conv.images.size;
  }
  if (conv.by_filters) {
    plan.step = band;  // its filters are packed for each step
    plan.channels = smaller(conv.columns.size, plan.c.group_K());
  }
  plan.rows = smaller(checked_sum(checked_product(plan.step - 1, stride), window), s.P);
  conv.rows = {s.P, plan.rows};
  plan_scratch(plan.c, bytes, conv);
  conv.rows = {PP, band};
  const int64_t filters = conv.by_filters ? params.groups * conv.columns.count() : 1;
  plan.tasks = checked_product(conv.pixel_tasks(), filters);
  if (conv.slots > 1) conv.slots = larger(smaller(plan.tasks, kConv2dSlots), 1);
  const int64_t result =
      round_up(checked_product(checked_product(conv.images.size, plan.z_values()), bytes), 64);
  plan.slot_bytes = conv.slot_bytes = checked_sum(conv.slot_bytes, result);
  return plan;
}

// Whether it has tasks for as many threads as the convolution alone, or at least for some, as far
// as there is work for them.
CK_INLINE bool conv2d_pool_divides(const Conv2dPoolPlan& plan, Dtype dtype) {
  const double flops = conv2d_flops(plan.c.s, plan.c.params);
  const int64_t few = flops < 8e6 ? static_cast<int64_t>(flops / 1e6) : 8;
  return plan.tasks >= smaller(correlation_plan(plan.c, dtype).slots, few);
}

// The plan of a correlation whose source is made row by row, not read.
CK_INLINE CorrelationPlan made_rows_plan(const Correlation& c, Dtype dtype) {
  return correlation_plan(c, dtype, true);
}

// backward_input in runs: for each slot, the rows of dz that the rows of a task meet.
CK_INLINE int64_t made_rows_bytes(const Conv2dShape& s, const Conv2dPoolParams& params,
                                  const ImplicitGemmPlan& plan, Dtype dtype) {
  const int64_t reach = checked_product(s.KH - 1, params.dilation_h);
  const int64_t rows = checked_sum(plan.rows.size - 1, reach) / params.stride_h + 1;
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  return round_up(checked_product(smaller(rows, s.P), s.Q, s.K, bytes), 64);
}

// backward_weight: for each slot, what a task has of dz, of the filters of a block.
CK_INLINE int64_t made_rows_bytes(const Conv2dShape& s, const WeightGradientPlan& plan,
                                  Dtype dtype) {
  const int64_t pixels = checked_product(plan.images.size, plan.rows.size, s.Q);
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  return round_up(checked_product(pixels, smaller(plan.filters.size, plan.K), bytes), 64);
}

// Winograd's method: windows of 2 x 2 that neither overlap nor reach over the image lie in tiles.
CK_INLINE bool winograd_pools(const Conv2dPoolParams& p) {
  return p.window_h == 2 && p.window_w == 2 && p.pool_stride_h == 2 && p.pool_stride_w == 2 &&
         p.pool_pad_top == 0 && p.pool_pad_bottom == 0 && p.pool_pad_left == 0 &&
         p.pool_pad_right == 0;
}

// The rows of dz that a row of tiles reads, which each slot of backward_input ends with.
CK_INLINE int64_t winograd_unpool_bytes(const Correlation& c) {
  return round_up(checked_product(6, c.s.W, c.s.C, int64_t{sizeof(float)}), 64);
}
CK_INLINE WinogradPlan winograd_unpool_plan(const Correlation& c) {
  WinogradPlan plan = winograd_plan(c);
  plan.slot_bytes = checked_sum(plan.slot_bytes, winograd_unpool_bytes(c));
  return plan;
}

// The rows of dz of a row of tiles, of the filters of a block.
CK_INLINE int64_t made_rows_bytes(const Conv2dShape& s, const WinogradWeightPlan& plan) {
  return round_up(
      checked_product(7 - s.KH, s.Q, checked_product(plan.filters.size, int64_t{sizeof(float)})),
      64);
}
CK_INLINE WinogradWeightPlan winograd_unpool_weight_plan(const Conv2dShape& s,
                                                         const Conv2dParams& params) {
  WinogradWeightPlan plan = winograd_weight_plan(s, params);
  plan.slot_bytes = checked_sum(plan.slot_bytes, made_rows_bytes(s, plan));
  return plan;
}

}  // namespace convkit
