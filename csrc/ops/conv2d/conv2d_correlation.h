// Convolution as a matrix product whose left operand is the image itself. For kernel sources only
// (core/isa.h).
//
// In NHWC the taps of a filter row are a run of KW*C neighbours (with groups or dilation: KW runs
// of C/groups), and those of the next pixel of the result begin stride*C further on. So a tile of
// the result stays in registers over all taps, and reads the image where it is, or a copy of some
// of its rows (conv2d_correlation_plan.h).
#pragma once

#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d_correlation_rows.h"
#include "ops/conv2d/conv2d_correlation_tile.h"
#include "ops/conv2d/conv2d_sliding_tile.h"

namespace convkit::CK_ISA {

// Packs one panel of the filters of a group, flipped if the pass is transposed, from
// w [KH,KW,C/groups,K] of the forward pass; `to` is where the group's first panel goes.
template <class T, int kVectors>
void pack_filters(const Correlation& c, const Panels<T, kVectors>& panels, const T* w, int64_t g,
                  int64_t panel, T* to) {
  const int64_t K = c.group_K(), C = c.group_C(), taps = c.s.KH * c.s.KW;
  if (!c.transposed) return panels.pack(panel, w + g * K, c.s.K, to);
  for (int64_t tap = 0; tap < taps; ++tap) {  // the last one first
    panels.pack_transposed(panel, tap * C, C, w + (taps - 1 - tap) * K * c.s.C + g * C, c.s.C, to);
  }
}

// What all tasks of a pass share.
template <class T>
struct CorrelationPass {
  Correlation c;
  CorrelationPlan plan;
  const T* source;  // the images, unless the plan copies them
  const T* w;       // [KH,KW,C/groups,K] of the forward pass
  const T* bias;    // null: none
  T* shared;        // copies of the source and of the filters
  T* scratch;       // of all slots
  Through<T> through;

  CK_INLINE FilterPanels<T> panels() const { return {c.terms(), c.group_K()}; }
  CK_INLINE T* slot(int thread) const {
    return scratch + thread * (plan.slot_bytes / int64_t{sizeof(T)});
  }

  // Packs the filters of channels [k0, k1) of a group.
  void pack(int64_t g, int64_t k0, int64_t k1, T* to) const {
    const FilterPanels<T> all = panels();
    const int64_t begin = k0 / all.kWidth, end = ceil_div(k1, all.kWidth);
    to -= all.offset(begin);
    for (int64_t panel = begin; panel < end; ++panel) pack_filters(c, all, w, g, panel, to);
  }
};

// A pass whose workspace begins at `workspace`.
template <class T>
CK_INLINE CorrelationPass<T> correlation_pass(const Correlation& c, const CorrelationPlan& plan,
                                              const T* source, const T* w, const T* bias,
                                              std::byte* workspace,
                                              const Through<T>& through = {}) {
  return {c,
          plan,
          source,
          w,
          bias,
          reinterpret_cast<T*>(workspace),
          reinterpret_cast<T*>(workspace + plan.source_bytes + plan.filter_bytes),
          through};
}

// The part of a shared copy that holds images [n0, ...).
template <class T>
CK_INLINE T* shared_images(const CorrelationPass<T>& pass, int64_t n0) {
  const CorrelationPlan& plan = pass.plan;
  return pass.shared + n0 * pass.c.s.H * (plan.left + pass.c.s.W + plan.right) * pass.c.s.C;
}

// Makes what the tasks share.
template <class T, class Load>
void prepare(const CorrelationPass<T>& pass, ThreadPool* pool, const Load& load) {
  const Correlation& c = pass.c;
  const CorrelationPlan& plan = pass.plan;
  if (plan.by_filters) {
    if (!plan.copied) return;
    const Chunks rows{c.s.H, larger(ceil_div(c.s.H, 4), 1)};
    pool->parallel_for(
        plan.images.count() * rows.count(),
        [&](int64_t index, int) {
          const int64_t i = index / rows.count(), r = index % rows.count();
          const int64_t n0 = plan.images.begin(i);
          copy_rows(c, plan, n0, plan.images.end(i), {0, c.s.H}, {rows.begin(r), rows.end(r)}, load,
                    shared_images(pass, n0));
        },
        plan.max_threads());
    return;
  }
  const FilterPanels<T> panels = pass.panels();
  const int64_t group = panels.rows * round_up(c.group_K(), Vec<T>::kLanes);
  pool->parallel_for(
      c.params.groups * panels.count(),
      [&](int64_t index, int) {
        const int64_t g = index / panels.count(), panel = index % panels.count();
        const int64_t k0 = panels.first(panel);
        pass.pack(g, k0, smaller(k0 + panels.kWidth, c.group_K()),
                  pass.shared + g * group + panels.offset(panel));
      },
      plan.max_threads());
}

// What a task reads, copied to `to` if the plan copies it for each task.
template <class T, class Load>
CK_INLINE SourceRows<T> task_source(const CorrelationPass<T>& pass, const CorrelationTask& task,
                                    const Load& load, T* to) {
  const Correlation& c = pass.c;
  const Conv2dShape& s = c.s;
  if (!pass.plan.copied) {
    return {pass.source + task.n0 * s.H * s.W * s.C, s.H * s.W * s.C, s.W * s.C, s.C, 0};
  }
  if (pass.plan.by_filters) {
    return copy_rows(c, pass.plan, task.n0, task.n1, {0, s.H}, {0, 0}, load,
                     shared_images(pass, task.n0));
  }
  const RowRange range = source_range(c, task.r0, task.r1);
  return copy_rows(c, pass.plan, task.n0, task.n1, range, range, load, to);
}

// Taps [begin, end) of an axis that lie inside the image, for place p of the result.
CK_INLINE RowRange taps_inside(int64_t p, int64_t stride, int64_t pad, int64_t dilation,
                               int64_t taps, int64_t size) {
  const int64_t first = p * stride - pad;
  const int64_t begin = first >= 0 ? 0 : ceil_div(-first, dilation);
  const int64_t end = first >= size ? 0 : ceil_div(size - first, dilation);
  return {smaller(begin, taps), larger(smaller(end, taps), smaller(begin, taps))};
}

// One panel of channels for row p of an image, or of all images of an interleaved copy, summed over
// filter rows [i0, i1): b is that of filter row 0, y pixel (n, p, 0).
template <class T, int NV>
void correlate_row(const Correlation& c, const SourceRows<T>& source, int64_t images, const T* a,
                   int64_t p, RowRange sweep, const T* b, int64_t step, ResultRows<T> y,
                   const TileEnds<T>& ends) {
  constexpr int kRows = tile_rows<T>(NV);
  const Conv2dParams& params = c.params;
  const int64_t run = c.group_C();
  const RowRange inside =
      taps_inside(p, params.stride_h, params.pad_top, params.dilation_h, c.s.KH, c.s.H);
  const int64_t i0 = larger(inside.begin, sweep.begin), i1 = smaller(inside.end, sweep.end);
  const int64_t row = params.dilation_h * source.row, tap = params.dilation_w * source.pixel;
  const int64_t filter_row = c.s.KW * run * step;
  a += (p * params.stride_h - params.pad_top - source.first) * source.row + i0 * row;
  b += i0 * filter_row;
  const int64_t across = params.stride_w * source.pixel;  // to the next pixel of the result
  for (int64_t q = 0; q < c.s.Q;) {
    // Pixels up to `end` meet the same taps.
    RowRange j = {0, c.s.KW};
    int64_t end = c.s.Q;
    if (images > 0) {
      const auto inside_at = [&](int64_t at) {
        return taps_inside(at, params.stride_w, params.pad_left, params.dilation_w, c.s.KW, c.s.W);
      };
      j = inside_at(q);
      end = q + 1;
      while (params.stride_w == 1 && end < c.s.Q) {
        const RowRange next = inside_at(end);
        if (next.begin != j.begin || next.end != j.end) break;
        ++end;
      }
    }
    const bool joined = images == 0 && c.joined();
    Taps taps = {larger(i1 - i0, 0), j.end - j.begin, run, step, 0, 0, 0};
    if (joined) taps.taps = 1, taps.run = c.s.KW * run;
    taps.next_tap = tap - taps.run;
    taps.next_row = row - taps.taps * tap;
    taps.next_filter_row = filter_row - taps.taps * taps.run * step;
    const T* const from =
        a + (q * params.stride_w - params.pad_left + j.begin * params.dilation_w) * source.pixel;
    const T* const filter = b + j.begin * run * step;
    const int64_t together = larger(images, 1), pixel = images > 0 ? source.image : across;
    for_each_tile((end - q) * together, kRows, [&](int64_t m, int size) {
      with_int<kRows>(size, [&]<int MR>(Int<MR>) {
        const TilePixels<T> to = {y.data + (q + m / together) * y.pixel + m % together * y.image,
                                  together, m % together, y.image, y.pixel};
        correlation_tile<T, MR, NV>(taps, from + m * pixel, pixel, filter, to, ends);
      });
    });
    q = end;
  }
}

// Whether the tiles of panels of one vector slide (conv2d_sliding_tile.h).
template <class T>
CK_INLINE bool slides(const Correlation& c, int64_t images) {
  return kSlidingTiles<T> && images == 0 && c.joined() && c.params.stride_w == 1 &&
         sliding_fits(c.s.Q, c.s.KW);
}

// A panel of one vector, as correlate_row, for rows [p0, p1).
template <class T, int KW>
void correlate_sliding(const Correlation& c, const SourceRows<T>& source, const T* a, int64_t p0,
                       int64_t p1, RowRange sweep, const T* b, int64_t step, ResultRows<T> y,
                       const TileEnds<T>& ends) {
  const Conv2dParams& params = c.params;
  const auto taps_of = [&](int64_t p) {
    const RowRange inside =
        taps_inside(p, params.stride_h, params.pad_top, params.dilation_h, c.s.KH, c.s.H);
    const int64_t begin = larger(inside.begin, sweep.begin);
    return RowRange{begin, larger(smaller(inside.end, sweep.end), begin)};
  };
  SlidingTaps taps = {0, c.s.C, params.dilation_h * source.row, params.stride_h * source.row, step};
  a -= params.pad_left * source.pixel;
  for (int64_t p = p0; p < p1;) {
    const RowRange i = taps_of(p), next = taps_of(p + 1);
    const bool two = p + 1 < p1 && next.begin == i.begin && next.end == i.end;
    taps.rows = i.end - i.begin;
    const T* const from =
        a + (p * params.stride_h - params.pad_top - source.first) * source.row + i.begin * taps.row;
    const T* const filter = b + i.begin * KW * c.s.C * step;
    for_each_tile(c.s.Q, kSlidingMost, [&](int64_t q, int size) {
      with_int<kSlidingMost - kSlidingLeast + 1>(size - kSlidingLeast + 1, [&]<int N>(Int<N>) {
        constexpr int M = N + kSlidingLeast - 1;
        const auto tile = two ? sliding_tile<T, 2, M, KW> : sliding_tile<T, 1, M, KW>;
        tile(taps, from + q * c.s.C, filter, y.data + q * y.pixel, y.row, y.pixel, ends);
      });
    });
    p += two ? 2 : 1;
    y.data += (two ? 2 : 1) * y.row;
  }
}

// One panel of channels for all pixels of a task; `first` is its first channel among all.
template <class T, int NV>
void correlate_panel(const CorrelationPass<T>& pass, const CorrelationTask& task,
                     const SourceRows<T>& source, const T* a, const T* b, int64_t step,
                     int64_t first, int last, const ResultRows<T>& y) {
  const Correlation& c = pass.c;
  const int64_t images = pass.plan.interleaved > 0 ? task.n1 - task.n0 : 0;
  const bool relu = c.params.activation == static_cast<int64_t>(Activation::relu);
  const int64_t rows = rows_per_sweep<T>(c.s.KH, c.s.KW * c.group_C() * NV * Vec<T>::kLanes);
  for (int64_t i = 0; i < c.s.KH; i += rows) {
    TileEnds<T> ends = {pass.bias != nullptr ? pass.bias + first : nullptr, i > 0,
                        T(-__builtin_inf()), last};
    if (relu && i + rows >= c.s.KH) ends.floor = 0;
    for (int64_t n = 0; n < (images > 0 ? 1 : task.n1 - task.n0); ++n) {
      ResultRows<T> to = y;
      to.data += n * y.image + first;
      if constexpr (NV == 1 && kSlidingTiles<T>) {
        if (slides<T>(c, images)) {
          const auto by_width = c.s.KW == 3 ? correlate_sliding<T, 3> : correlate_sliding<T, 5>;
          by_width(c, source, a + n * source.image, task.r0, task.r1,
                   {i, smaller(i + rows, c.s.KH)}, b, step, to, ends);
          continue;
        }
      }
      for (int64_t p = task.r0; p < task.r1; ++p, to.data += y.row) {
        correlate_row<T, NV>(c, source, images, a + n * source.image, p,
                             {i, smaller(i + rows, c.s.KH)}, b, step, to, ends);
      }
    }
  }
}

// The body of a task: its part of the result, to y. What w needs is packed into `filters`, unless
// the tasks share it.
template <class T>
void correlate(const CorrelationPass<T>& pass, const CorrelationTask& task,
               const SourceRows<T>& source, T* filters, const ResultRows<T>& y) {
  const Correlation& c = pass.c;
  const FilterPanels<T> panels = pass.panels();
  const int64_t group = panels.rows * round_up(c.group_K(), Vec<T>::kLanes);
  const int64_t begin = task.k0 / panels.kWidth, end = ceil_div(task.k1, panels.kWidth);
  for (int64_t g = task.g0; g < task.g1; ++g) {
    const T* packed = pass.shared + g * group;
    if (pass.plan.by_filters && !pass.plan.unpacked) {
      pass.pack(g, task.k0, task.k1, filters);
      packed = filters - panels.offset(begin);
    }
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = g * c.group_K() + panels.first(panel);
      const T* const b = pass.plan.unpacked ? pass.w + first : packed + panels.offset(panel);
      const int64_t step = pass.plan.unpacked ? c.s.K : panels.width(panel);
      with_int<kCorrelationVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
        correlate_panel<T, NV>(pass, task, source, source.data + g * c.group_C(), b, step, first,
                               panels.last_lanes(panel), y);
      });
    }
  }
  // Here the rows are complete, and in the cache.
  const Activation kind = static_cast<Activation>(c.params.activation);
  const bool done = kind == Activation::linear || kind == Activation::relu;
  if (done && !pass.through) return;
  const auto finish = [&](T* at, int64_t n) {
    if (!done) apply_activation(kind, c.params.alpha, at, n);
    if (pass.through) pass.through(at - pass.through.dx, n);
  };
  const bool whole =
      task.g1 - task.g0 == c.params.groups && task.k1 - task.k0 == c.group_K() && y.pixel == c.s.K;
  for (int64_t n = 0; n < task.n1 - task.n0; ++n) {
    for (int64_t p = 0; p < task.r1 - task.r0; ++p) {
      T* const row = y.data + n * y.image + p * y.row;
      if (whole) {
        finish(row, c.s.Q * c.s.K);
        continue;
      }
      for (int64_t q = 0; q < c.s.Q; ++q) {
        for (int64_t g = task.g0; g < task.g1; ++g) {
          finish(row + q * y.pixel + g * c.group_K() + task.k0, task.k1 - task.k0);
        }
      }
    }
  }
}

// All of a pass, whose images `load` reads, to y [N,P,Q,K].
template <class T, class Load>
void run(const CorrelationPass<T>& pass, ThreadPool* pool, const Load& load, T* y) {
  prepare(pass, pool, load);
  pool->parallel_for(
      correlation_tasks(pass.c, pass.plan),
      [&](int64_t index, int thread) {
        const CorrelationTask task = correlation_task(pass.c, pass.plan, index);
        T* const slot = pass.slot(thread);
        correlate(pass, task, task_source(pass, task, load, slot), slot,
                  result_rows(pass.c.s, task, y));
      },
      pass.plan.max_threads());
}

}  // namespace convkit::CK_ISA
