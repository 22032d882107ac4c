// The tiles of the implicit-GEMM convolution, and how the image is laid out for them. For kernel
// sources only (core/isa.h).
//
// In NHWC the taps of a filter row are a run of KW*C neighbours, and those of the next output pixel
// begin stride*C further on: the image itself is the left operand of a matrix product.
#pragma once

#include "gemm/panels.h"
#include "gemm/runs.h"
#include "gemm/tile.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_plan.h"
#include "ops/conv2d/conv2d_run_sums.h"

namespace convkit::CK_ISA {

// The rows of the images that a task reads: filter row i of output row p of image n begins at
// data + (n - n0) * image + ((p - r0) * stride_h + i * dilation_h) * row.
template <class T>
struct ConvView {
  const T* data;
  int64_t image, row;
};

template <class T>
CK_INLINE ConvView<T> view_of(const Conv2dShape& s, const Conv2dParams& params,
                              const ImplicitGemmPlan& plan, const ConvTask& task, const T* x,
                              T* scratch) {
  const int64_t width = s.W * s.C;
  const int64_t top = task.r0 * params.stride_h - params.pad_top;
  if (!plan.padded) return {x + (task.n0 * s.H + top) * width, s.H * width, width};
  const int64_t rows =
      (task.r1 - task.r0 - 1) * params.stride_h + (s.KH - 1) * params.dilation_h + 1;
  const int64_t left = params.pad_left * s.C, right = params.pad_right * s.C;
  T* to = scratch;
  int64_t zeros = 0;  // to be written before the next copy
  for (int64_t n = task.n0; n < task.n1; ++n) {
    for (int64_t h = top; h < top + rows; ++h) {
      if (h < 0 || h >= s.H) {
        zeros += plan.row;
        continue;
      }
      clear_run(to, zeros + left);
      to += zeros + left;
      copy_run(x + (n * s.H + h) * width, width, to);
      to += width;
      zeros = right;
    }
  }
  clear_run(to, zeros);
  return {scratch, rows * plan.row, plan.row};
}

// Calls f(first tap of the row, first pixel of the row) for the output rows of a task.
template <class T, class F>
CK_INLINE void for_each_row(const Conv2dShape& s, const Conv2dParams& params, const ConvTask& task,
                            const ConvView<T>& view, const F& f) {
  for (int64_t n = task.n0; n < task.n1; ++n) {
    const T* row = view.data + (n - task.n0) * view.image;
    for (int64_t p = task.r0; p < task.r1; ++p, row += params.stride_h * view.row) {
      f(row, (n * s.P + p) * s.Q);
    }
  }
}

// Where the taps are: KH runs of `run` values, `row` apart; the next pixel is `pixel` further.
struct ConvTaps {
  int64_t KH, run, row, pixel;
};

// The row of dy that row h of dx, border included, meets through filter row i; -1: none.
CK_INLINE int64_t row_of_dy(const Conv2dShape& s, const Conv2dParams& params, int64_t h,
                            int64_t i) {
  int64_t p = h - i * params.dilation_h;
  if (params.stride_h > 1) p = p % params.stride_h == 0 ? p / params.stride_h : -1;
  return p >= 0 && p < s.P ? p : -1;
}

// Adds to row h of dx, border included, what MR neighbouring pixels of each row of dy give it
// through filter rows [i, end), for one panel of the run. dy is the first of the pixels in row 0.
template <class T, int MR, int NV>
void backward_input_tile(const Conv2dShape& s, const Conv2dParams& params, int64_t h, int64_t i,
                         int64_t end, const T* dy, const T* b, T* to, int last) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  tile.clear();
  const int64_t K = s.K, pixel = params.stride_w * s.C;
  for (; i < end; ++i, b += K * NV * V::kLanes) {
    const int64_t p = row_of_dy(s, params, h, i);
    if (p < 0) continue;
    tile.multiply(dy + p * s.Q * K, [K](int m) { return m * K; }, 1, b, NV * V::kLanes, K);
  }
  add_runs(tile, pixel, last, to);
}

}  // namespace convkit::CK_ISA
