// How a pass of conv2d is cut into tasks that sum over taps in registers, from shapes alone. Used
// by the kernels and, for the size of the workspace, by the table.
//
// The forward pass correlates x with w. backward_input with stride 1 correlates dy with w, flipped
// and with its channels swapped. Here both have the letters of the forward pass: N images of
// H x W x C values are read, P x Q x K written.
#pragma once

#include "ops/conv2d/conv2d_plan.h"

namespace convkit {

struct Correlation {
  Conv2dShape s;
  Conv2dParams params;  // of these, padding may be negative: so much of the image is not read
  bool transposed;      // backward_input

  CK_INLINE int64_t group_C() const { return s.C / params.groups; }
  CK_INLINE int64_t group_K() const { return s.K / params.groups; }
  // One group, no horizontal dilation: the taps of a filter row are a run of neighbours.
  CK_INLINE bool joined() const { return params.groups == 1 && params.dilation_w == 1; }
  CK_INLINE int64_t terms() const { return checked_product(s.KH, s.KW, group_C()); }
};

CK_INLINE Correlation forward_correlation(const Conv2dShape& s, const Conv2dParams& params) {
  return {s, params, false};
}

CK_INLINE Correlation backward_input_correlation(const Conv2dShape& s, const Conv2dParams& params) {
  Correlation c = {{s.N, s.P, s.Q, s.K, s.KH, s.KW, s.C, s.H, s.W}, params, true};
  const int64_t rows = (s.KH - 1) * params.dilation_h, columns = (s.KW - 1) * params.dilation_w;
  c.params.pad_top = rows - params.pad_top, c.params.pad_bottom = rows - params.pad_bottom;
  c.params.pad_left = columns - params.pad_left, c.params.pad_right = columns - params.pad_right;
  c.params.activation = static_cast<int64_t>(Activation::linear);
  return c;
}

// Whether backward_input is one. With few channels C, lanes would idle that the runs of KW*C
// channels of the other form fill.
CK_INLINE bool backward_input_correlates(const Conv2dShape& s, const Conv2dParams& params,
                                         Dtype dtype) {
  const int64_t lanes = 64 / kDtypeBytes[static_cast<int>(dtype)];
  if (params.stride_h != 1 || params.stride_w != 1) return false;
  if (params.groups != 1 || params.dilation_w != 1) return true;
  return 4 * s.KW * round_up(s.C, lanes) <= 5 * round_up(s.KW * s.C, lanes);
}

struct CorrelationPlan {
  // Rows of the image are copied: with zeros left and right where taps lie outside; or interleaved,
  // pixel w of up to `interleaved` images before pixel w + 1 of any. A tile then holds the same
  // pixel of several images, which miss the same taps, and no zero is multiplied.
  bool copied;
  int64_t interleaved;  // 0: not
  int64_t left, right;  // columns of zeros
  // Few pixels, large filters: the copy is made beforehand, and each task packs its filters; with
  // so few that they are read but once or twice, it reads w as it is.
  bool by_filters, unpacked;
  Chunks images, rows;                 // of the result
  Chunks columns;                      // of the channels of a group
  int64_t slots;                       // tasks in work at a time
  int64_t source_bytes, filter_bytes;  // of shared copies
  int64_t slot_bytes;                  // scratch of each task; filters come first
  int64_t slot_filter_bytes;

  CK_INLINE int64_t pixel_tasks() const { return images.count() * rows.count(); }
  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE Workspace workspace() const {
    return {checked_sum(source_bytes, filter_bytes), slots, slot_bytes};
  }
};

// Rows of the image that `rows` rows of the result need, between their first and last tap.
CK_INLINE int64_t source_rows(const Correlation& c, int64_t rows) {
  const int64_t needed = checked_sum(checked_product(rows - 1, c.params.stride_h),
                                     checked_product(c.s.KH - 1, c.params.dilation_h), 1);
  return smaller(needed, c.s.H);
}

// Scratch of a task of so many images and rows; `columns` of the filters if it packs them.
CK_INLINE void plan_scratch(const Correlation& c, int64_t bytes, CorrelationPlan& plan) {
  const int64_t row = checked_product(checked_sum(c.s.W, plan.left, plan.right), c.s.C, bytes);
  const int64_t filter = checked_product(c.terms(), bytes), lanes = 64 / bytes;
  const int64_t task_rows = checked_product(plan.images.size, source_rows(c, plan.rows.size));
  const int64_t source = plan.copied ? round_up(checked_product(task_rows, row), 64) : 0;
  const int64_t all = plan.copied ? round_up(checked_product(c.s.N, c.s.H, row), 64) : 0;
  plan.source_bytes = plan.by_filters ? all : 0;
  plan.slot_filter_bytes = 0;
  if (plan.by_filters && !plan.unpacked) {
    const int64_t columns = smaller(plan.columns.size, round_up(c.group_K(), lanes));
    plan.slot_filter_bytes = round_up(checked_product(columns, filter), 64);
  }
  plan.slot_bytes = plan.by_filters ? plan.slot_filter_bytes : source;
  plan.filter_bytes =
      plan.by_filters
          ? 0
          : round_up(checked_product(c.params.groups, round_up(c.group_K(), lanes), filter), 64);
}

// Values of all images of a task in a row of the image, for which a copy interleaves them.
constexpr int64_t kInterleavedBytes = int64_t{1} << 20;

// With `copied`, there is a copy in any case: of rows that the loader makes.
CK_INLINE CorrelationPlan correlation_plan(const Correlation& c, Dtype dtype, bool copied = false) {
  const Conv2dShape& s = c.s;
  const Conv2dParams& params = c.params;
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  CorrelationPlan plan = {};
  plan.left = larger(params.pad_left, 0), plan.right = larger(params.pad_right, 0);
  plan.copied = copied || plan.left > 0 || plan.right > 0;

  const int64_t image = checked_product(s.H, s.W, s.C, bytes);
  const int64_t filters = checked_product(c.terms(), s.K, bytes);
  const int64_t window = checked_product(smaller(s.KH, s.H), s.W, s.C, bytes);
  const int64_t together = smaller(smaller(kInterleavedBytes / larger(window, 1), 16), s.N);
  const bool zeros = plan.left > 0 || plan.right > 0;
  // Its runs are single taps: too short a loop for few channels.
  if (together >= 4 && ((zeros && (s.C >= 64 || !c.joined())) || s.Q < 8)) {
    plan.copied = true;
    plan.left = plan.right = 0;
    plan.interleaved = ceil_div(s.N, ceil_div(s.N, together));
  }
  plan.by_filters = filters > checked_product(s.N, image);

  // Pixels per task: enough that it takes microseconds and that reading the weights does not
  // matter, yet 32 tasks if there are pixels for them.
  const int64_t all = checked_product(s.N, s.P, s.Q), per_image = checked_product(s.P, s.Q);
  const int64_t work = checked_product(c.terms(), s.K);
  const int64_t images_at_once = larger(plan.interleaved, 1);
  const int64_t readings = checked_product(ceil_div(s.N, images_at_once), s.P,
                                           ceil_div(checked_product(s.Q, images_at_once), 14));
  plan.unpacked =
      plan.by_filters && !c.transposed && readings <= 2 && c.group_K() % (64 / bytes) == 0;
  int64_t pixels = larger(smaller(all / 32, 1024), 28);
  plan.columns = {c.group_K(), larger(c.group_K(), 1)};
  if (plan.by_filters) {
    plan.columns.size = 128 / bytes;
    const int64_t wanted = ceil_div(kConv2dSlots, params.groups * plan.columns.count());
    pixels = larger(ceil_div(all, wanted), 128);
  }
  pixels = larger(pixels, 150000 / larger(work, 1));
  int64_t images = plan.interleaved;
  if (images == 0) {
    const int64_t fit = (int64_t{256} << 10) / larger(image, 1);
    images = larger(smaller(smaller(ceil_div(pixels, larger(per_image, 1)), fit), s.N), 1);
    if (plan.by_filters) images = larger(smaller(pixels / larger(per_image, 1), s.N), 1);
  }
  plan.images = {s.N, larger(images, 1)};
  const int64_t blocks =
      larger(smaller(checked_product(larger(images, 1), per_image) / pixels, s.P), 1);
  plan.rows = {s.P, larger(ceil_div(s.P, blocks), 1)};

  const int64_t tasks = checked_product(plan.pixel_tasks(), params.groups, plan.columns.count());
  plan.slots =
      conv2d_flops({s.N, s.H, s.W, s.C, s.KH, s.KW, s.K, s.P, s.Q}, params) < kConv2dSerialFlops
          ? 1
          : larger(smaller(tasks, kConv2dSlots), 1);
  plan_scratch(c, bytes, plan);
  return plan;
}

CK_INLINE bool correlation_fits(const Correlation& c) {
  return c.s.C > 0 && c.s.K > 0 && c.s.P > 0 && c.s.Q > 0 && c.s.H > 0 && c.s.W > 0;
}

}  // namespace convkit
