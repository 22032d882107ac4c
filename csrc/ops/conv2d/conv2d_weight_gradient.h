// The weight gradient of a convolution, block by block; see conv2d_weight_plan.h. For kernel
// sources only (core/isa.h).
//
// In NHWC the taps of a filter row are a run of KW*C neighbours, and those of the next pixel of dy
// begin stride*C further on: the image itself is the left operand of a matrix product.
#pragma once

#include "gemm/panels.h"
#include "gemm/runs.h"
#include "gemm/tree_sum.h"
#include "ops/conv2d/conv2d_weight_tiles.h"

namespace convkit::CK_ISA {

// Value k of pixel (n, p, q) is at data + n*image + p*row + q*pixel + k. For dy, k counts the
// filters of a block; for x, row p = 0 and pixel q = 0 are those that the first tap of the first
// pixel of dy meets, and zeros are there where the image ends.
template <class T>
struct Pixels {
  const T* data;
  int64_t image, row, pixel;
};

template <class T>
struct WeightGradient {
  Conv2dShape s;
  Conv2dParams params;
  WeightGradientPlan plan;
  int64_t fold;

  CK_INLINE WeightGradient(const Conv2dShape& shape, const Conv2dParams& p, Dtype dtype)
      : s(shape), params(p), plan(weight_gradient_plan(shape, p, dtype)) {
    fold = plan.interleaved ? 1 : choose_fold<T>(s, params);
  }
};

// The scratch memory of a unit.
template <class T>
struct WeightScratch {
  T* sums;  // per panel of filters [KH, columns, width]
  T* image;
  T* dy;

  CK_INLINE WeightScratch(const WeightGradientPlan& plan, std::byte* slot) {
    sums = reinterpret_cast<T*>(slot);
    image = reinterpret_cast<T*>(slot + plan.sums_bytes);
    dy = reinterpret_cast<T*>(slot + plan.sums_bytes + plan.image_bytes);
  }
};

// What a task reads of x [N,H,W,C], for the channels of a block; copied if the plan says so.
template <class T>
CK_INLINE Pixels<T> weight_image(const WeightGradient<T>& wg, const WeightBlock& block,
                                 const ConvTask& task, const T* x, T* copy) {
  const Conv2dShape& s = wg.s;
  const Conv2dParams& params = wg.params;
  const int64_t top = task.r0 * params.stride_h - params.pad_top;
  x += block.g * wg.plan.C + block.c0;
  if (!wg.plan.copied) {
    return {x + (task.n0 * s.H + top) * s.W * s.C, s.H * s.W * s.C, s.W * s.C, s.C};
  }
  const int64_t C = block.c1 - block.c0, images = task.n1 - task.n0;
  const int64_t rows =
      (task.r1 - task.r0 - 1) * params.stride_h + (s.KH - 1) * params.dilation_h + 1;
  const int64_t width = s.W + wg.plan.border;
  Pixels<T> to = {copy, rows * width * C, width * C, C};
  if (wg.plan.interleaved) to = {copy, C, width * images * C, images * C};
  const int64_t right = params.pad_left + s.W;
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t h = 0; h < rows; ++h) {
      T* const line = copy + n * to.image + h * to.row;
      const auto clear = [&](int64_t begin, int64_t end) {
        if (to.pixel == C) return clear_run(line + begin * C, (end - begin) * C);
        for (int64_t w = begin; w < end; ++w) clear_run(line + w * to.pixel, C);
      };
      if (top + h < 0 || top + h >= s.H) {
        clear(0, width);
        continue;
      }
      clear(0, params.pad_left);
      const T* const from = x + ((task.n0 + n) * s.H + top + h) * s.W * s.C;
      T* const at = line + params.pad_left * to.pixel;
      if (to.pixel == C && C == s.C) {
        copy_run(from, s.W * s.C, at);
      } else {
        for (int64_t w = 0; w < s.W; ++w) copy_run(from + w * s.C, C, at + w * to.pixel);
      }
      clear(right, width);
    }
  }
  return to;
}

// Copies `n` pixels of one panel of dy, `pixel` apart, as NV vectors. Lanes beyond the panel's
// columns hold anything.
template <class T, int NV>
CK_INLINE T* pack_pixels(const T* dy, int64_t pixel, int64_t n, int last, T* to) {
  using V = Vec<T>;
  // So many vectors end before the last pixel begins.
  const int64_t safe = last == V::kLanes ? n : n - ceil_div(V::kLanes - last, pixel);
  for (int64_t i = 0; i < n; ++i, dy += pixel, to += NV * V::kLanes) {
    for (int v = 0; v < NV; ++v) {
      const T* const from = dy + v * V::kLanes;
      const bool whole = v < NV - 1 || i < safe;
      (whole ? V::loadu(from) : V::load_partial(from, last)).storeu(to + v * V::kLanes);
    }
  }
  return to;
}

// Adds the sum of all pixels of a panel, whose first column is `first` of fold*K, to db.
template <class T, int NV>
CK_INLINE void add_bias_gradient(const WeightTile& t, const T* dy, int64_t first, int64_t columns,
                                 int64_t K, T* db) {
  using V = Vec<T>;
  V even[NV], odd[NV];
  for (int v = 0; v < NV; ++v) even[v] = odd[v] = V::zero();
  for (int l = 0; l < t.lines; ++l) {
    const T* at = dy + t.dy_at[l];
    int64_t i = 0;
    for (; i + 2 <= t.depth; i += 2, at += 2 * t.dy_pixel) {
      for (int v = 0; v < NV; ++v) {
        even[v] += V::loadu(at + v * V::kLanes);
        odd[v] += V::loadu(at + t.dy_pixel + v * V::kLanes);
      }
    }
    for (int v = 0; v < NV && i < t.depth; ++v) even[v] += V::loadu(at + v * V::kLanes);
  }
  T sums[NV * V::kLanes];
  for (int v = 0; v < NV; ++v) (even[v] + odd[v]).storeu(sums + v * V::kLanes);
  int64_t k = first % K;
  for (int64_t j = 0; j < columns; ++j) {
    db[k] += sums[j];
    if (++k == K) k = 0;
  }
}

// Adds the pixels of a task to the sums of a block, which `add` says are there already, and to db,
// which is that of the block's filters, unless that is null. Pixel (0, 0, 0) of x and dy is the
// task's first; `packed` has room for kWeightPixels pixels.
template <class T>
void add_weight_gradient(const WeightGradient<T>& wg, const WeightBlock& block,
                         const ConvTask& task, const Pixels<T>& x, const Pixels<T>& dy, bool add,
                         T* sums, T* db, T* packed) {
  const Conv2dShape& s = wg.s;
  const Conv2dParams& params = wg.params;
  const int64_t images = task.n1 - task.n0, rows = task.r1 - task.r0, fold = wg.fold;
  const int64_t C = block.c1 - block.c0, K = block.k1 - block.k0;
  const int64_t run = s.KW * C + (fold - 1) * params.stride_w * C;
  const bool joined = params.dilation_w == 1 && x.pixel == C;
  const Panels<T> panels{s.KH * run, fold * K};
  const bool across = wg.plan.interleaved;  // lines: of one place in the images, not along the rows
  const bool packs = across || dy.pixel != K || fold * K % Vec<T>::kLanes != 0 ||
                     fold * K * int64_t{sizeof(T)} > kWeightPanelBytes;

  WeightTile t;
  t.row = params.dilation_h * x.row, t.columns = run;
  const int64_t length = across ? images : s.Q / fold;
  t.pixel = across ? x.image : fold * params.stride_w * x.pixel;
  // They are numbered like rows of images, or like pixels of rows.
  const int64_t outer = across ? rows : images, inner = across ? s.Q : rows;
  const int64_t row = params.stride_h * x.row, column = params.stride_w * x.pixel;
  const bool slides = joined && !across && fold * params.stride_w == 1 && weight_slides<T>(s, C, K);
  const int64_t longest = slides ? kSlidingLine : kWeightPixels;
  for_each_tile(length, longest, [&](int64_t i0, int depth) {
    for_each_tile(outer * inner, kWeightPixels / depth, [&](int64_t l0, int count) {
      t.lines = count, t.depth = depth;
      t.add = add;
      add = true;
      int64_t from[WeightTile::kMaxLines];
      for (int64_t l = 0, o = l0 / inner, i = l0 % inner; l < count; ++l) {
        t.x_at[l] = o * (across ? row : x.image) + i * (across ? column : row) + i0 * t.pixel;
        from[l] = o * (across ? dy.row : dy.image) + i * (across ? dy.pixel : dy.row) +
                  i0 * (across ? dy.image : fold * dy.pixel);
        if (++i == inner) i = 0, ++o;
      }
      const T* const next = dy.data + from[count - 1] + depth * fold * dy.pixel;
      t.ahead = t.ahead_end = reinterpret_cast<const char*>(next);
      if (!packs) t.ahead_end += count * depth * fold * K * int64_t{sizeof(T)};
      for (int64_t panel = 0; panel < panels.count(); ++panel) {
        with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
          constexpr int64_t kWidth = NV * Vec<T>::kLanes;
          const T* at = dy.data + panels.first(panel);
          t.dy_pixel = packs ? kWidth : fold * K;
          T* to = packed;
          for (int l = 0; l < count; ++l) {
            t.dy_at[l] = packs ? to - packed : from[l];
            if (!packs) continue;
            to = pack_pixels<T, NV>(dy.data + from[l] + panels.first(panel),
                                    across ? dy.image : fold * dy.pixel, depth,
                                    panels.last_lanes(panel), to);
          }
          if (packs) at = packed;
          if (db != nullptr) {
            const int64_t first = panels.first(panel);
            add_bias_gradient<T, NV>(t, at, first, smaller(kWidth, fold * K - first), K, db);
          }
          T* const panel_sums = sums + panels.offset(panel);
          if constexpr (NV == 1 && kSlidingWeights<T>) {
            if (slides) {
              const auto tiles =
                  s.KW == 3 ? sliding_weight_tiles<T, 3> : sliding_weight_tiles<T, 5>;
              return tiles(t, s.KH, C, x.data, at, panel_sums);
            }
          }
          if (joined) return weight_tiles<T, NV>(t, s.KH, run, x.data, at, panel_sums);
          for (int64_t j = 0; j < s.KW; ++j) {
            weight_tiles<T, NV>(t, s.KH, C, x.data + j * params.dilation_w * x.pixel, at,
                                panel_sums + j * C * kWidth);
          }
        });
      }
    });
  });
}

// Writes the sums of a block to its place in dw [KH,KW,C/groups,K].
template <class T>
void write_block(const WeightGradient<T>& wg, const WeightBlock& block, const T* sums, T* dw) {
  const Conv2dShape& s = wg.s;
  const int64_t C = block.c1 - block.c0, K = block.k1 - block.k0, fold = wg.fold;
  const int64_t step = wg.params.stride_w * C, run = s.KW * C + (fold - 1) * step;
  const Panels<T> panels{s.KH * run, fold * K};
  for (int64_t i = 0; i < s.KH; ++i) {
    for (int64_t j = 0, tap = 0, c = 0; j < s.KW * C; ++j) {  // j = tap*C + c
      T* const to =
          dw + ((i * s.KW + tap) * wg.plan.C + block.c0 + c) * s.K + block.g * wg.plan.K + block.k0;
      if (++c == C) c = 0, ++tap;
      if (fold > 1) {
        for (int64_t k = 0; k < K; ++k) {
          T sum = 0;
          for (int64_t f = 0; f < fold; ++f) {
            const int64_t row = i * run + j + f * step, column = f * K + k;
            const int64_t panel = column / panels.kWidth;
            sum += sums[panels.offset(panel) + row * panels.width(panel) + column % panels.kWidth];
          }
          to[k] = sum;
        }
        continue;
      }
      for (int64_t panel = 0; panel < panels.count(); ++panel) {
        const int64_t first = panels.first(panel), width = panels.width(panel);
        copy_run(sums + panels.offset(panel) + (i * run + j) * width, smaller(width, K - first),
                 to + first);
      }
    }
  }
}

// All of dw and db. rows(block, task, thread) says where the rows of dy of a task are, of the
// filters of a block.
template <class T, class Rows>
void run_weight_gradient(const WeightGradient<T>& wg, ThreadPool* pool, std::byte* workspace,
                         const T* x, const Rows& rows, T* dw, T* db) {
  const Conv2dShape& s = wg.s;
  const WeightGradientPlan& plan = wg.plan;
  const int64_t weights = s.KH * s.KW * plan.C * s.K;
  const int64_t part_values = plan.part_bytes / int64_t{sizeof(T)};
  T* const part_sums = reinterpret_cast<T*>(workspace);
  std::byte* const slots = workspace + plan.shared_bytes();
  const bool shared = plan.parts == 1;  // a part that is the whole writes where that belongs
  pool->parallel_for(
      plan.parts * plan.blocks,
      [&](int64_t unit, int thread) {
        const int64_t part = unit / plan.blocks;
        const WeightBlock block(plan, unit % plan.blocks);
        const WeightScratch<T> scratch(plan, slots + thread * plan.slot_bytes);
        T* const to = shared ? dw : part_sums + part * part_values;
        T* bias = shared ? db : to + weights;
        bias = db == nullptr || block.c0 > 0 ? nullptr : bias + block.g * plan.K + block.k0;
        if (bias != nullptr) clear_run(bias, block.k1 - block.k0);
        const int64_t first = plan.first_task(part);
        for (int64_t index = first; index < plan.first_task(part + 1); ++index) {
          const ConvTask task(plan, index);
          const Pixels<T> image = weight_image(wg, block, task, x, scratch.image);
          add_weight_gradient(wg, block, task, image, rows(block, task, thread), index > first,
                              scratch.sums, bias, scratch.dy);
        }
        write_block(wg, block, scratch.sums, to);
      },
      plan.max_threads());
  if (shared) return;
  if (db != nullptr) tree_sum(pool, part_sums + weights, plan.parts, part_values, s.K, db);
  tree_sum(pool, part_sums, plan.parts, part_values, weights, dw);
}

}  // namespace convkit::CK_ISA
