// How the weight gradient of conv2d cuts its work, from shapes alone. Used by the kernel and, for
// the size of the workspace, by the table.
#pragma once

#include "ops/conv2d/conv2d_plan.h"

namespace convkit {

// A unit of work makes one block of dw, some channels times some filters of a group, for one part
// of the pixels. Where the blocks alone are enough for all threads there is one part, and nothing
// to be added up between them; else the parts' sums meet in the order of a tree. A part goes
// through its pixels in tasks, whose piece of x fits the cache beside the block.
struct WeightGradientPlan {
  int64_t C, K;              // channels and filters of a group
  Chunks channels, filters;  // of a group, in a block
  int64_t blocks;            // of all groups
  Chunks images, rows;       // a task is a chunk of images times a chunk of rows of dy
  int64_t parts;             // of the tasks
  bool copied;               // x, for each task: it needs a border, or a block has not all of C
  bool interleaved;          // the copy has the images of a task next to each other
  int64_t border;            // pixels of the copy to the right of x, and to the left
  int64_t slots;             // units in work at a time
  int64_t sums_bytes;        // scratch of a unit: its block of dw
  int64_t image_bytes;       // its piece of x
  int64_t slot_bytes;        // all of it, with some pixels of dy at the end
  int64_t part_bytes;        // of dw and db

  CK_INLINE int64_t tasks() const { return images.count() * rows.count(); }
  CK_INLINE int64_t first_task(int64_t part) const { return part * tasks() / parts; }
  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE Workspace workspace() const { return {shared_bytes(), slots, slot_bytes}; }
  CK_INLINE int64_t shared_bytes() const {
    return parts > 1 ? checked_product(parts, part_bytes) : 0;
  }
};

constexpr int64_t kWeightPanelBytes = 256;                 // a pixel's widest panel of filters
constexpr int64_t kWeightChannels = 112;                   // in a block: neighbours do not collide
constexpr int64_t kWeightPixels = 112;                     // of dy that stay in the first cache
constexpr int64_t kWeightSumsBytes = int64_t{224} << 10;   // a block and the piece of x shall stay
constexpr int64_t kWeightImageBytes = int64_t{192} << 10;  // in the second cache

// Up to this many pixels are treated as one where K is less than a widest vector.
constexpr int64_t kConv2dMaxFold = 4;
CK_INLINE constexpr bool conv2d_may_fold(const Conv2dShape& s, const Conv2dParams& params,
                                         int64_t value_bytes) {
  return params.groups == 1 && params.dilation_w == 1 && s.K * value_bytes < 64;
}

CK_INLINE bool weight_gradient_fits(const Conv2dShape& s, const Conv2dParams& params) {
  return s.C >= params.groups && s.K > 0 && s.P > 0 && s.Q > 0;
}

// n in chunks of nearly equal size, a multiple of `unit`, of at most `most` where that is more.
CK_INLINE Chunks even_chunks(int64_t n, int64_t most, int64_t unit) {
  if (n <= most) return {n, larger(n, 1)};
  const int64_t count = ceil_div(n, larger(most / unit * unit, unit));
  return {n, round_up(ceil_div(n, count), unit)};
}

// Parts of less work would cost more than further threads bring.
CK_INLINE int64_t parts_worth(const Conv2dShape& s, const Conv2dParams& params) {
  const double parts = conv2d_flops(s, params) / 4e5;
  return parts < 1.0 ? 1 : parts < kConv2dSlots ? static_cast<int64_t>(parts) : kConv2dSlots;
}

CK_INLINE WeightGradientPlan weight_gradient_plan(const Conv2dShape& s, const Conv2dParams& params,
                                                  Dtype dtype) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  const int64_t taps = checked_product(s.KH, s.KW);
  const int64_t panel = kWeightPanelBytes / bytes;
  WeightGradientPlan plan = {};
  plan.C = s.C / params.groups, plan.K = s.K / params.groups;
  plan.channels = even_chunks(
      plan.C, smaller(kWeightSumsBytes / checked_product(taps, kWeightPanelBytes), kWeightChannels),
      16);
  const int64_t channels = plan.channels.size;
  const int64_t more = kWeightSumsBytes / 2 / checked_product(taps, channels, kWeightPanelBytes);
  plan.filters = even_chunks(plan.K, smaller(larger(more, 1), 4) * panel, panel);
  plan.blocks = params.groups * plan.channels.count() * plan.filters.count();

  // Tasks: whole images if some fit, else rows of one; and at least kConv2dSlots of them, if there
  // is work for them and not yet enough blocks.
  plan.copied = params.pad_top > 0 || params.pad_bottom > 0 || params.pad_left > 0 ||
                params.pad_right > 0 || channels < s.C;
  plan.border = checked_sum(params.pad_left, params.pad_right);
  const int64_t per_image = checked_product(s.P, s.Q), pixels = checked_product(s.N, per_image);
  const int64_t wanted = plan.blocks >= kConv2dSlots ? 1 : ceil_div(kConv2dSlots, plan.blocks);
  const int64_t parts = smaller(wanted, parts_worth(s, params));
  const int64_t share = ceil_div(larger(pixels, 1), parts);
  const int64_t row_bytes = checked_product(checked_sum(s.W, plan.border), channels, bytes);
  const int64_t reach = checked_sum(checked_product(s.KH - 1, params.dilation_h), 1);
  const int64_t fit = kWeightImageBytes / row_bytes;  // rows of x
  const int64_t image_rows = checked_sum(checked_product(s.P - 1, params.stride_h), reach);
  const int64_t images = smaller(fit / image_rows, share / per_image);
  if (images > 0) {
    plan.images = {s.N, larger(smaller(images, s.N), 1)};
    plan.rows = {s.P, s.P};
  } else {
    const int64_t most =
        smaller(fit > reach ? (fit - reach) / params.stride_h + 1 : 1, ceil_div(share, s.Q));
    plan.images = {s.N, 1};
    plan.rows = even_chunks(s.P, larger(most, 1), 1);
  }
  plan.interleaved = plan.rows.size == s.P && s.Q < 8 && plan.images.size > s.Q;
  plan.copied = plan.copied || plan.interleaved;
  plan.parts = smaller(parts, plan.tasks());

  const int64_t fold = conv2d_may_fold(s, params, bytes) ? kConv2dMaxFold : 1;
  const int64_t columns =
      checked_sum(checked_product(s.KW, channels), checked_product(fold - 1, params.stride_w, s.C));
  const int64_t width = round_up(checked_product(fold, plan.filters.size), 64 / bytes);
  plan.sums_bytes = round_up(checked_product(s.KH, columns, width, bytes), 64);
  const int64_t rows_in = checked_sum(checked_product(plan.rows.size - 1, params.stride_h), reach);
  plan.image_bytes =
      plan.copied ? round_up(checked_product(plan.images.size, rows_in, row_bytes), 64) : 0;
  plan.slot_bytes =
      checked_sum(plan.sums_bytes, plan.image_bytes, kWeightPixels * kWeightPanelBytes);
  plan.part_bytes =
      round_up(checked_product(checked_sum(checked_product(taps, plan.C), 1), s.K, bytes), 64);
  plan.parts = smaller(plan.parts, larger(kConv2dScratchBytes / larger(plan.part_bytes, 1), 1));
  plan.slots = conv2d_flops(s, params) < kConv2dSerialFlops
                   ? 1
                   : larger(smaller(plan.blocks * plan.parts, kConv2dSlots), 1);
  return plan;
}

// One input channel and up to 8 filters of 3x3, 5x5 or 7x7: two pixels fill a vector
// (conv2d_pixel_pairs.h). The unit of work is a part of the rows of dy, of all images.
struct WeightPairsPlan {
  int64_t line;  // values in a row of x with its border
  Chunks rows;   // of an image, in a task
  int64_t tasks;
  int64_t parts;  // of the tasks: each gives a dw and a db
  int64_t slots, slot_bytes;
  int64_t part_bytes;

  CK_INLINE int64_t first_task(int64_t part) const { return part * tasks / parts; }
  CK_INLINE Workspace workspace() const { return {shared_bytes(), slots, slot_bytes}; }
  CK_INLINE int64_t shared_bytes() const { return checked_product(larger(parts, 1), part_bytes); }
};

CK_INLINE bool weight_pairs_fit(const Conv2dShape& s, const Conv2dParams& params, Dtype dtype) {
  const bool square = s.KH == s.KW && (s.KH == 3 || s.KH == 5 || s.KH == 7);
  return dtype == Dtype::float32 && s.C == 1 && params.groups == 1 && params.stride_w == 1 &&
         params.dilation_w == 1 && square && s.K > 0 && s.K <= 8 && s.P > 0 && s.Q > 1;
}

CK_INLINE WeightPairsPlan weight_pairs_plan(const Conv2dShape& s, const Conv2dParams& params) {
  constexpr int64_t lanes = 16, bytes = 4;
  WeightPairsPlan plan = {};
  plan.line = checked_sum(s.W, params.pad_left, params.pad_right);
  const int64_t fit = (int64_t{16} << 10) / checked_product(plan.line, params.stride_h, bytes);
  plan.rows = even_chunks(s.P, larger(fit, 1), 1);
  plan.tasks = checked_product(s.N, plan.rows.count());
  plan.parts = smaller(plan.tasks, parts_worth(s, params));
  plan.slots = larger(plan.parts, 1);
  const int64_t rows_in = checked_sum(checked_product(plan.rows.size - 1, params.stride_h),
                                      checked_product(s.KH - 1, params.dilation_h), 1);
  plan.slot_bytes = round_up(checked_product(rows_in, plan.line, bytes), 64);
  plan.part_bytes = checked_product(s.KH * s.KW + 1, lanes, bytes);
  return plan;
}

}  // namespace convkit
