// What a task of a correlation reads and where its result goes (conv2d_correlation.h). For kernel
// sources only (core/isa.h).
#pragma once

#include "gemm/runs.h"
#include "ops/conv2d/conv2d_correlation_plan.h"

namespace convkit::CK_ISA {

// What a task computes: rows [r0, r1) of images [n0, n1), channels [k0, k1) of groups [g0, g1).
struct CorrelationTask {
  int64_t n0, n1, r0, r1, g0, g1, k0, k1;
};

CK_INLINE CorrelationTask correlation_task(const Correlation& c, const CorrelationPlan& plan,
                                           int64_t index) {
  CorrelationTask task = {0, 0, 0, 0, 0, c.params.groups, 0, c.group_K()};
  if (plan.by_filters) {  // those of the same filters follow each other
    const int64_t filters = index / plan.pixel_tasks();
    index %= plan.pixel_tasks();
    task.g0 = filters / plan.columns.count(), task.g1 = task.g0 + 1;
    task.k0 = plan.columns.begin(filters % plan.columns.count());
    task.k1 = plan.columns.end(filters % plan.columns.count());
  }
  const int64_t i = index / plan.rows.count(), r = index % plan.rows.count();
  task.n0 = plan.images.begin(i), task.n1 = plan.images.end(i);
  task.r0 = plan.rows.begin(r), task.r1 = plan.rows.end(r);
  return task;
}

CK_INLINE int64_t correlation_tasks(const Correlation& c, const CorrelationPlan& plan) {
  const int64_t filters = plan.by_filters ? c.params.groups * plan.columns.count() : 1;
  return plan.pixel_tasks() * filters;
}

// Where the rows of a task's result go: channel k of pixel (n, p, q) to
// data + (n - n0) * image + (p - r0) * row + q * pixel + k.
template <class T>
struct ResultRows {
  T* data;
  int64_t image, row, pixel;
};

// The rows in the whole result, y [N,P,Q,K].
template <class T>
CK_INLINE ResultRows<T> result_rows(const Conv2dShape& s, const CorrelationTask& task, T* y) {
  return {y + (task.n0 * s.P + task.r0) * s.Q * s.K, s.P * s.Q * s.K, s.Q * s.K, s.K};
}

// What a task reads: value c of pixel (n, h, w) is at
// data + (n - n0) * image + (h - first) * row + w * pixel + c. Rows and columns outside the image
// are there as zeros, or are not to be read.
template <class T>
struct SourceRows {
  const T* data;
  int64_t image, row, pixel, first;
};

// Reads rows of x [N,H,W,C]: load(n, h, to, ld) writes pixel w of row h to `to` + w * ld.
template <class T>
struct LoadRow {
  const T* x;
  int64_t H, W, C;

  CK_INLINE void operator()(int64_t n, int64_t h, T* to, int64_t ld) const {
    const T* from = x + (n * H + h) * W * C;
    if (ld == C) return copy_run(from, W * C, to);
    for (int64_t w = 0; w < W; ++w, from += C, to += ld) copy_run(from, C, to);
  }
};

// Rows [begin, end) of an image.
struct RowRange {
  int64_t begin, end;
};

// What rows [r0, r1) of the result meet.
CK_INLINE RowRange source_range(const Correlation& c, int64_t r0, int64_t r1) {
  const int64_t begin = r0 * c.params.stride_h - c.params.pad_top;
  const int64_t reach = (r1 - r0 - 1) * c.params.stride_h + (c.s.KH - 1) * c.params.dilation_h + 1;
  return {smaller(larger(begin, 0), c.s.H), smaller(larger(begin + reach, 0), c.s.H)};
}

// Copies images [n0, n1), of them rows `some` of the rows that there is room for.
template <class T, class Load>
CK_INLINE SourceRows<T> copy_rows(const Correlation& c, const CorrelationPlan& plan, int64_t n0,
                                  int64_t n1, RowRange room, RowRange some, const Load& load,
                                  T* to) {
  const int64_t left = plan.left * c.s.C, right = plan.right * c.s.C, width = c.s.W * c.s.C;
  const int64_t images = n1 - n0, row = left + width + right;
  SourceRows<T> rows = {to + left, (room.end - room.begin) * row, row, c.s.C, room.begin};
  if (plan.interleaved > 0) rows = {to, c.s.C, images * width, images * c.s.C, room.begin};
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t h = some.begin; h < some.end; ++h) {
      T* const at = const_cast<T*>(rows.data) + n * rows.image + (h - room.begin) * rows.row;
      clear_run(at - left, left);
      load(n0 + n, h, at, rows.pixel);
      clear_run(at + width, right);
    }
  }
  return rows;
}

}  // namespace convkit::CK_ISA
