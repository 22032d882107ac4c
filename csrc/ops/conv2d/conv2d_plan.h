// How the kernels of conv2d cut their work, from shapes alone. Used by the kernels and, for the
// size of the workspace, by the table.
#pragma once

#include "core/checked.h"
#include "ops/conv2d/conv2d.h"

namespace convkit {

// At most this many threads work on one call, each with its own scratch memory (a slot).
constexpr int64_t kConv2dSlots = 16;
constexpr int64_t kConv2dScratchBytes = int64_t{48} << 20;  // where a plan can choose
constexpr int64_t kConv2dMaxWorkspace = int64_t{64} << 20;

CK_INLINE constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
CK_INLINE constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Filter rows per sweep over the pixels: their part of a panel shall stay in the cache.
template <class T>
CK_INLINE int64_t rows_per_sweep(int64_t KH, int64_t row_values) {
  const int64_t fit = (int64_t{256} << 10) / larger(row_values * int64_t{sizeof(T)}, 1);
  return larger(smaller(KH, fit), 1);
}

CK_INLINE double conv2d_flops(const Conv2dShape& s, const Conv2dParams& params) {
  return 2.0 * static_cast<double>(checked_product(s.N, s.P, s.Q)) *
         static_cast<double>(checked_product(s.KH, s.KW, s.K)) *
         static_cast<double>(s.C / params.groups);
}

// Below this one slot is enough: so few operations are hardly worth more threads than one.
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
  CK_INLINE Workspace forward_workspace() const { return {0, slots, column_bytes}; }
  CK_INLINE Workspace backward_weight_workspace() const {
    return checked_product(parts.count(), checked_sum(column_bytes, part_bytes));
  }
};

CK_INLINE Im2colPlan im2col_plan(const Conv2dShape& s, const Conv2dParams& params, Dtype dtype) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  const int64_t pixels = checked_product(s.N, s.P, s.Q);
  const double flops = conv2d_flops(s, params);
  Im2colPlan plan;
  plan.terms = checked_product(s.KH, s.KW, s.C / params.groups);
  plan.direct = s.KH == 1 && s.KW == 1 && params.stride_h == 1 && params.stride_w == 1 &&
                s.P == s.H && s.Q == s.W && params.pad_top == 0 && params.pad_left == 0;

  // 512 KB of columns, but no fewer than 128 pixels: the product packs w anew for every tile.
  const int64_t fit =
      larger((int64_t{512} << 10) / larger(checked_product(plan.terms, bytes), 1), 128);
  int64_t tiles = ceil_div(pixels, fit);
  if (flops > 16e6) {
    tiles = round_up(tiles, 4);
  } else if (flops > 1e6) {
    tiles = round_up(tiles, 2);
  }
  plan.tiles = {pixels, larger(ceil_div(pixels, larger(tiles, 1)), 1)};
  tiles = plan.tiles.count();

  plan.column_bytes =
      plan.direct
          ? 0
          : round_up(checked_product(smaller(plan.tiles.size, pixels), plan.terms, bytes), 64);
  const int64_t room = kConv2dScratchBytes / larger(plan.column_bytes, 1);
  const int64_t threads = flops < kConv2dSerialFlops ? 1 : kConv2dSlots;
  plan.slots = larger(smaller(smaller(tiles, threads), room), 1);

  plan.part_bytes = round_up(checked_product(checked_sum(plan.terms, 1), s.K, bytes), 64);
  const int64_t parts =
      larger(smaller(smaller(tiles, threads),
                     kConv2dScratchBytes / checked_sum(plan.column_bytes, plan.part_bytes)),
             1);
  plan.parts = {tiles, larger(ceil_div(tiles, parts), 1)};

  plan.images = {s.N, larger(ceil_div(s.N, smaller(larger(tiles, 1), 64)), 1)};
  return plan;
}

// implicit_gemm: the taps of a filter row are one run of KW*C neighbours in a row of the image, so
// no column matrix is needed; only an image with padding is copied, into a zero border.
CK_INLINE bool implicit_gemm_fits(const Conv2dShape& s, const Conv2dParams& params) {
  return params.groups == 1 && params.dilation_w == 1 && s.C > 0 && s.K > 0 && s.P > 0 && s.Q > 0;
}

// One task of a plan: images [n0, n1), rows [r0, r1) of y or dy.
struct ConvTask {
  int64_t n0, n1, r0, r1;

  template <class Plan>
  CK_INLINE ConvTask(const Plan& plan, int64_t task) {
    const int64_t i = task / plan.rows.count(), r = task % plan.rows.count();
    n0 = plan.images.begin(i), n1 = plan.images.end(i);
    r0 = plan.rows.begin(r), r1 = plan.rows.end(r);
  }
};

// A block of dw: channels [c0, c1) and filters [k0, k1) of group g.
struct WeightBlock {
  int64_t g, c0, c1, k0, k1;

  template <class Plan>
  CK_INLINE WeightBlock(const Plan& plan, int64_t index) {
    const int64_t k = index % plan.filters.count(), rest = index / plan.filters.count();
    const int64_t c = rest % plan.channels.count();
    g = rest / plan.channels.count();
    c0 = plan.channels.begin(c), c1 = plan.channels.end(c);
    k0 = plan.filters.begin(k), k1 = plan.filters.end(k);
  }
  CK_INLINE int64_t C() const { return c1 - c0; }
  CK_INLINE int64_t K() const { return k1 - k0; }
};

struct ImplicitGemmPlan {
  int64_t run;           // KW*C
  bool padded;           // the border is wider than nothing
  int64_t row;           // values in a row of the image with its border
  Chunks images, rows;   // a task is a chunk of images times a chunk of rows of the result
  int64_t slots;         // tasks in work at a time
  int64_t slot_bytes;    // scratch of each
  int64_t shared_bytes;  // weights in panels and the bias

  CK_INLINE int64_t tasks() const { return images.count() * rows.count(); }
  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE Workspace workspace() const { return {shared_bytes, slots, slot_bytes}; }
};

CK_INLINE ImplicitGemmPlan implicit_gemm_plan(Conv2dPass pass, const Conv2dShape& s,
                                              const Conv2dParams& params, Dtype dtype) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(dtype)];
  const int64_t lanes = 64 / bytes;  // of the widest vector: the sizes must hold for every ISA
  const int64_t rows = pass == Conv2dPass::backward_input ? s.H : s.P;
  const int64_t padded_rows = s.H + params.pad_top + params.pad_bottom;

  ImplicitGemmPlan plan = {};
  plan.run = checked_product(s.KW, s.C);
  plan.padded =
      params.pad_top > 0 || params.pad_bottom > 0 || params.pad_left > 0 || params.pad_right > 0;
  plan.row = checked_product(s.W + params.pad_left + params.pad_right, s.C);

  // Pixels per task: enough that it takes microseconds and that reading the weights does not
  // matter, yet 16 tasks if there are pixels for them.
  const int64_t weights = checked_product(s.KH, plan.run, s.K);
  const int64_t share = checked_product(s.N, s.P, s.Q) / kConv2dSlots;
  const int64_t pixels = larger(larger(smaller(share, 128), 24), 150000 / larger(weights, 1));
  const int64_t per_image = larger(checked_product(s.P, s.Q), 1);
  const int64_t fit =
      (int64_t{256} << 10) / larger(checked_product(padded_rows, plan.row, bytes), 1);
  const int64_t images = larger(smaller(smaller(ceil_div(pixels, per_image), fit), s.N), 1);
  const int64_t blocks = smaller(larger(per_image / pixels, 1), larger(rows, 1));
  plan.images = {s.N, images};
  plan.rows = {rows, larger(ceil_div(rows, blocks), 1)};

  plan.slots = conv2d_flops(s, params) < kConv2dSerialFlops
                   ? 1
                   : larger(smaller(plan.tasks(), kConv2dSlots), 1);

  if (pass == Conv2dPass::backward_input) {
    plan.shared_bytes = round_up(checked_product(s.KH, s.K, round_up(plan.run, lanes), bytes), 64);
    plan.slot_bytes = round_up(
        checked_product(checked_sum(checked_product(plan.rows.size, plan.row), lanes), bytes), 64);
    return plan;
  }
  if (plan.padded) {
    const int64_t rows_in = checked_sum(checked_product(plan.rows.size - 1, params.stride_h),
                                        checked_product(s.KH - 1, params.dilation_h), 1);
    plan.slot_bytes = round_up(checked_product(plan.images.size, rows_in, plan.row, bytes), 64);
  }
  plan.shared_bytes = round_up(
      checked_product(checked_sum(checked_product(s.KH, plan.run), 1), round_up(s.K, lanes), bytes),
      64);
  return plan;
}

// backward_input with one image to a lane, float32: a task is as many images as a vector of AVX-512
// has lanes, times some rows of dx.
struct ImageLanesPlan {
  Chunks images, rows;
  int64_t slots, slot_bytes;  // a slot has rows of dx and one of dy

  CK_INLINE int64_t tasks() const { return images.count() * rows.count(); }
  CK_INLINE int max_threads() const { return static_cast<int>(slots); }
  CK_INLINE Workspace workspace() const { return {0, slots, slot_bytes}; }
};

constexpr int64_t kImageLanesBytes = int64_t{512} << 10;
// A row of dy is cut into tiles of 5 to 10 pixels.
constexpr int kImageLanesMost = 10, kImageLanesLeast = 5, kImageLanesRow = 8;

CK_INLINE ImageLanesPlan image_lanes_plan(const Conv2dShape& s, const Conv2dParams& params) {
  constexpr int64_t lanes = 16, bytes = 4;
  ImageLanesPlan plan = {};
  plan.images = {s.N, lanes};
  // Where two chunks of rows meet, both transpose some rows of dy.
  const int64_t wanted = ceil_div(kConv2dSlots, larger(plan.images.count(), 1));
  plan.rows = {s.H, larger(ceil_div(s.H, wanted), smaller(s.H, 3))};
  plan.slots = conv2d_flops(s, params) < kConv2dSerialFlops
                   ? 1
                   : larger(smaller(plan.tasks(), kConv2dSlots), 1);
  const int64_t line = checked_product(s.Q + s.KW - 1, s.C, lanes);
  plan.slot_bytes = checked_product(
      checked_sum(checked_product(plan.rows.size, line), checked_product(s.Q, s.K, lanes)), bytes);
  return plan;
}

// Whether the images fill the lanes better than runs of channels would.
CK_INLINE bool image_lanes_fit(const Conv2dShape& s, const Conv2dParams& params, Dtype dtype) {
  return dtype == Dtype::float32 && params.groups == 1 && params.stride_w == 1 &&
         params.dilation_w == 1 && (s.KW == 3 || s.KW == 5) && s.Q >= kImageLanesRow && s.C <= 16 &&
         4 * s.N >= 3 * round_up(s.N, 16) &&
         image_lanes_plan(s, params).slot_bytes <= kImageLanesBytes;
}

// depthwise: rows of the result, of all images in a row, are the tasks.
constexpr int64_t kConv2dMaxDepthwiseTaps = 64;

CK_INLINE bool depthwise_fits(const Conv2dShape& s, const Conv2dParams& params) {
  return params.groups == s.C && s.K == s.C && s.C > 1 &&
         checked_product(s.KH, s.KW) <= kConv2dMaxDepthwiseTaps;
}

struct DepthwisePlan {
  Chunks rows;         // backward_weight: each chunk has a dw and db of its own
  int64_t part_bytes;  // of these
};

CK_INLINE DepthwisePlan depthwise_plan(Conv2dPass pass, const Conv2dShape& s, Dtype dtype) {
  const bool input = pass == Conv2dPass::backward_input;
  const int64_t rows = checked_product(s.N, input ? s.H : s.P);
  const int64_t work = checked_product(input ? s.W : s.Q, s.C, s.KH, s.KW);
  DepthwisePlan plan = {{rows, larger(100000 / larger(work, 1), 1)}, 0};
  if (pass == Conv2dPass::backward_weight) {
    plan.rows.size = larger(plan.rows.size, ceil_div(rows, kConv2dSlots));
    plan.part_bytes = round_up(checked_product(checked_sum(checked_product(s.KH, s.KW), 1), s.C,
                                               kDtypeBytes[static_cast<int>(dtype)]),
                               64);
  }
  return plan;
}

}  // namespace convkit
