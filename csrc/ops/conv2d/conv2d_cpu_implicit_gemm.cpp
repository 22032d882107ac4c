// Convolution as a matrix product whose left operand is the image itself: in NHWC the taps of a
// filter row are KW*C neighbours, and those of the next output pixel begin stride*C further on.
// For one group and no horizontal dilation.
#include "gemm/column_sums.h"
#include "gemm/runs.h"
#include "gemm/tile.h"
#include "gemm/tree_sum.h"
#include "ops/activation/activation_apply.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_plan.h"

namespace convkit::CK_ISA {
namespace {

// One task of the plan: images [n0, n1), rows [r0, r1) of the result.
struct Task {
  int64_t n0, n1, r0, r1;

  CK_INLINE Task(const ImplicitGemmPlan& plan, int64_t task) {
    const int64_t i = task / plan.rows.count(), r = task % plan.rows.count();
    n0 = plan.images.begin(i), n1 = plan.images.end(i);
    r0 = plan.rows.begin(r), r1 = plan.rows.end(r);
  }
};

// The rows of the images that a task reads: filter row i of output row p of image n begins at
// data + (n - n0) * image + ((p - r0) * stride_h + i * dilation_h) * row.
template <class T>
struct View {
  const T* data;
  int64_t image, row;
};

template <class T>
CK_INLINE View<T> view_of(const Conv2dShape& s, const Conv2dParams& params,
                          const ImplicitGemmPlan& plan, const Task& task, const T* x, T* scratch) {
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

// Cuts n into tiles of nearly equal size, at most `most` each: f(begin, size).
template <class F>
CK_INLINE void for_each_tile(int64_t n, int64_t most, const F& f) {
  const int64_t tiles = ceil_div(n, most);
  for (int64_t t = 0, begin = 0; t < tiles; ++t) {
    const int64_t size = n / tiles + (t < n % tiles ? 1 : 0);
    f(begin, static_cast<int>(size));
    begin += size;
  }
}

// Where the taps are: KH runs of `run` values, `row` apart; the next pixel is `pixel` further.
struct Taps {
  int64_t KH, run, row, pixel;
};

// MR neighbouring output pixels times one panel of channels.
template <class T, int MR, int NV>
void forward_tile(const Taps& taps, const T* a, const T* b, const T* bias, T* y, int64_t K,
                  int last) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  for (int v = 0; v < NV; ++v) {
    const V start = V::loadu(bias + v * V::kLanes);
    for (int m = 0; m < MR; ++m) tile.acc[m][v] = start;
  }
  const int64_t pixel = taps.pixel;
  for (int64_t i = 0; i < taps.KH; ++i) {
    tile.multiply(a, [pixel](int m) { return m * pixel; }, 1, b, NV * V::kLanes, taps.run);
    a += taps.row;
    b += taps.run * NV * V::kLanes;
  }
  for (int m = 0; m < MR; ++m, y += K) {
    for (int v = 0; v + 1 < NV; ++v) tile.acc[m][v].storeu(y + v * V::kLanes);
    T* const end = y + (NV - 1) * V::kLanes;
    if (last == V::kLanes) {
      tile.acc[m][NV - 1].storeu(end);
    } else {
      tile.acc[m][NV - 1].store_partial(end, last);
    }
  }
}

// The row of dy that row h of dx, border included, meets through filter row i; -1: none.
CK_INLINE int64_t row_of_dy(const Conv2dShape& s, const Conv2dParams& params, int64_t h,
                            int64_t i) {
  int64_t p = h - i * params.dilation_h;
  if (params.stride_h > 1) p = p % params.stride_h == 0 ? p / params.stride_h : -1;
  return p >= 0 && p < s.P ? p : -1;
}

// Adds to row h of dx, border included, what MR neighbouring pixels of each row of dy give it, for
// one panel of the run. dy is the first of these pixels in row 0.
template <class T, int MR, int NV>
void backward_input_tile(const Conv2dShape& s, const Conv2dParams& params, int64_t h, const T* dy,
                         const T* b, T* to, int last) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  tile.clear();
  const int64_t K = s.K, pixel = params.stride_w * s.C;
  for (int64_t i = 0; i < s.KH; ++i, b += K * NV * V::kLanes) {
    const int64_t p = row_of_dy(s, params, h, i);
    if (p < 0) continue;
    tile.multiply(dy + p * s.Q * K, [K](int m) { return m * K; }, 1, b, NV * V::kLanes, K);
  }
  // The runs of neighbouring pixels overlap. Lanes beyond the run are cut off, not just
  // multiplied by zero: an infinite dy would make them NaN.
  const auto in_run = V::iota() < V(static_cast<T>(last));
  for (int m = 0; m < MR; ++m, to += pixel) {
    for (int v = 0; v < NV; ++v) {
      V sum = tile.acc[m][v];
      if (v == NV - 1) sum = select(in_run, sum, V::zero());
      (V::loadu(to + v * V::kLanes) + sum).storeu(to + v * V::kLanes);
    }
  }
}

// The weight gradient as a product of columns of x and dy over the pixels of a task. With few
// channels K, `fold` neighbouring pixels make one row of dy, of fold*K channels; their taps are
// columns of a run that is (fold-1)*stride pixels longer.
struct WeightTile {
  int64_t images, rows, Q;  // Q: rows of dy, folded, in an output row
  int64_t K;                // channels, folded
  int64_t pixel;            // from one row of dy to the next, in x
  int64_t row, next;        // from one filter row to the next, from one output row to the next
  int64_t image;            // from one image to the next, in x
  int64_t run;              // columns, folded, of a filter row
  int last;                 // lanes of the last vector
  bool add;                 // to what dw holds
  int64_t safe;             // output rows whose vectors end within dy
};

// KR filter rows times MR neighbouring columns of x times one panel of channels. From row
// `safe` on, dy is read from `tail`.
template <class T, int KR, int MR, int NV>
void backward_weight_tile(const WeightTile& t, const T* x, const T* dy, const T* tail, T* dw) {
  using V = Vec<T>;
  Tile<T, KR * MR, NV> tile;
  tile.clear();
  const int64_t row = t.row, step = t.Q * t.K;
  int64_t i = 0;
  for (int64_t n = 0; n < t.images; ++n) {
    for (int64_t r = 0; r < t.rows; ++r, ++i) {
      tile.multiply(
          x + n * t.image + r * t.next, [row](int m) { return (m / MR) * row + m % MR; }, t.pixel,
          i < t.safe ? dy + i * step : tail + (i - t.safe) * step, t.K, t.Q);
    }
  }
#pragma GCC unroll 32
  for (int m = 0; m < KR * MR; ++m) {
    T* const to = dw + ((m / MR) * t.run + m % MR) * t.K;
    for (int v = 0; v < NV; ++v) {
      T* const at = to + v * V::kLanes;
      if (v < NV - 1 || t.last == V::kLanes) {
        if (t.add) tile.acc[m][v] += V::loadu(at);
        tile.acc[m][v].storeu(at);
      } else {
        if (t.add) tile.acc[m][v] += V::load_partial(at, t.last);
        tile.acc[m][v].store_partial(at, t.last);
      }
    }
  }
}

// How many rows a tile of the weight gradient may have: more than elsewhere, as their addresses
// need no registers.
constexpr int weight_rows(int vectors) {
  if (CK_ISA_LEVEL == 2) return vectors == 1 ? 30 : vectors == 2 ? 14 : vectors == 3 ? 9 : 6;
  return vectors == 1 ? 12 : 6;
}

// All tiles of one panel: dw [KH, run, K] from column `first` on.
template <class T, int NV>
void backward_weight_panel(const WeightTile& t, int64_t KH, const T* x, const T* dy, const T* tail,
                           T* dw) {
  constexpr int kRows = weight_rows(NV);
  const auto filter_rows = [&]<int KR>(Int<KR>, int64_t i) {
    for_each_tile(t.run, kRows / KR < 15 ? kRows / KR : 15, [&](int64_t j, int size) {
      with_int<(kRows / KR < 15 ? kRows / KR : 15)>(size, [&]<int MR>(Int<MR>) {
        backward_weight_tile<T, KR, MR, NV>(t, x + i * t.row + j, dy, tail,
                                            dw + (i * t.run + j) * t.K);
      });
    });
  };
  // Short runs: several filter rows at a time keep the multiply-adds busy.
  int64_t i = 0;
  if constexpr (kRows >= 5) {
    if (t.run <= kRows / 5) {
      for (; i + 5 <= KH; i += 5) filter_rows(Int<5>{}, i);
    }
  }
  if (t.run <= kRows / 3) {
    for (; i + 3 <= KH; i += 3) filter_rows(Int<3>{}, i);
  }
  for (; i < KH; ++i) filter_rows(Int<1>{}, i);
}

// How many pixels to fold: the share of useful lanes times that of useful columns decides.
template <class T>
CK_INLINE int64_t choose_fold(const Conv2dShape& s, const Conv2dParams& params) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  int64_t best = 1;
  double best_share = 0;
  for (int64_t fold = 1; fold <= kConv2dMaxFold; fold *= 2) {
    if (fold > 1 && (s.Q % fold != 0 || !conv2d_may_fold(s.K, sizeof(T)))) break;
    const double share =
        static_cast<double>(fold * s.K * s.KW) /
        static_cast<double>(round_up(fold * s.K, lanes) * (s.KW + (fold - 1) * params.stride_w));
    if (share > best_share) best = fold, best_share = share;
  }
  return best;
}

}  // namespace

void conv2d_implicit_gemm_forward(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const ImplicitGemmPlan plan = implicit_gemm_plan(Conv2dPass::forward, s, params, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[0].as<T>();
    T* const y = call[3].as<T>();
    const Panels<T> panels{s.KH * plan.run, s.K};
    T* const packed = reinterpret_cast<T*>(call.workspace);
    T* const bias = packed + panels.rows * round_up(s.K, Vec<T>::kLanes);
    call.pool->parallel_for(
        panels.count(), [&](int64_t panel, int) { panels.pack(panel, call[1].as<T>(), packed); },
        plan.max_threads());
    clear_run(bias, round_up(s.K, Vec<T>::kLanes));
    if (call[2].present()) copy_run(call[2].as<T>(), s.K, bias);

    call.pool->parallel_for(
        plan.tasks(),
        [&](int64_t index, int thread) {
          const Task task(plan, index);
          T* const scratch =
              reinterpret_cast<T*>(call.workspace + plan.shared_bytes + thread * plan.slot_bytes);
          const View<T> view = view_of(s, params, plan, task, x, scratch);
          const Taps taps{s.KH, plan.run, params.dilation_h * view.row, params.stride_w * s.C};
          for (int64_t panel = 0; panel < panels.count(); ++panel) {
            const T* const b = packed + panels.offset(panel);
            with_int<kTileVectors>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
              for (int64_t n = task.n0; n < task.n1; ++n) {
                for (int64_t p = task.r0; p < task.r1; ++p) {
                  const T* const a = view.data + (n - task.n0) * view.image +
                                     (p - task.r0) * params.stride_h * view.row;
                  T* const to = y + (n * s.P + p) * s.Q * s.K + panels.first(panel);
                  for_each_tile(s.Q, tile_rows(NV), [&](int64_t q, int size) {
                    with_int<tile_rows(NV)>(size, [&]<int MR>(Int<MR>) {
                      forward_tile<T, MR, NV>(taps, a + q * taps.pixel, b,
                                              bias + panels.first(panel), to + q * s.K, s.K,
                                              panels.last_lanes(panel));
                    });
                  });
                }
              }
            });
          }
          const int64_t rows = (task.n1 - task.n0 - 1) * s.P + task.r1 - task.r0;
          apply_activation(static_cast<Activation>(params.activation), params.alpha,
                           y + (task.n0 * s.P + task.r0) * s.Q * s.K, rows * s.Q * s.K);
        },
        plan.max_threads());
  });
}

void conv2d_implicit_gemm_backward_input(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[2], call[1], call[0]);
  const ImplicitGemmPlan plan =
      implicit_gemm_plan(Conv2dPass::backward_input, s, params, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    T* const dx = call[2].as<T>();
    // Per filter row [K, KW*C]: the transpose of what w holds.
    const Panels<T> panels{s.KH * s.K, plan.run};
    T* const packed = reinterpret_cast<T*>(call.workspace);
    call.pool->parallel_for(
        panels.count(),
        [&](int64_t panel, int) {
          for (int64_t i = 0; i < s.KH; ++i) {
            panels.pack_transposed(panel, i * s.K, s.K, call[1].as<T>() + i * plan.run * s.K,
                                   packed);
          }
        },
        plan.max_threads());

    const int64_t width = s.W * s.C;
    call.pool->parallel_for(
        plan.tasks(),
        [&](int64_t index, int thread) {
          const Task task(plan, index);
          T* const line =
              reinterpret_cast<T*>(call.workspace + plan.shared_bytes + thread * plan.slot_bytes);
          for (int64_t n = task.n0; n < task.n1; ++n) {
            for (int64_t h = task.r0; h < task.r1; ++h) {
              clear_run(line, plan.row + Vec<T>::kLanes);
              for (int64_t panel = 0; panel < panels.count(); ++panel) {
                const T* const b = packed + panels.offset(panel);
                with_int<kTileVectors>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
                  for_each_tile(s.Q, tile_rows(NV), [&](int64_t q, int size) {
                    with_int<tile_rows(NV)>(size, [&]<int MR>(Int<MR>) {
                      backward_input_tile<T, MR, NV>(
                          s, params, h + params.pad_top, dy + (n * s.P * s.Q + q) * s.K, b,
                          line + q * params.stride_w * s.C + panels.first(panel),
                          panels.last_lanes(panel));
                    });
                  });
                });
              }
              copy_run(line + params.pad_left * s.C, width, dx + (n * s.H + h) * width);
            }
          }
        },
        plan.max_threads());
  });
}

void conv2d_implicit_gemm_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  const ImplicitGemmPlan plan =
      implicit_gemm_plan(Conv2dPass::backward_weight, s, params, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const x = call[1].as<T>();
    T* const dw = call[2].as<T>();
    T* const db = call[3].as<T>();
    const int64_t fold = choose_fold<T>(s, params);
    const int64_t run = plan.run + (fold - 1) * params.stride_w * s.C;
    const Panels<T> panels{0, fold * s.K};
    const int64_t sums = s.KH * run * fold * s.K;  // in a part; the bias gradient follows
    const int64_t parts = plan.parts.count();
    T* const part_sums = reinterpret_cast<T*>(call.workspace);
    const int64_t stride = plan.part_bytes / int64_t{sizeof(T)};

    call.pool->parallel_for(parts, [&](int64_t part, int) {
      T* const scratch =
          reinterpret_cast<T*>(call.workspace + parts * plan.part_bytes + part * plan.slot_bytes);
      T* const tail = scratch + (plan.slot_bytes - plan.tail_bytes) / int64_t{sizeof(T)};
      T* const to = part_sums + part * stride;
      const int64_t first = plan.parts.begin(part);
      for (int64_t index = first; index < plan.parts.end(part); ++index) {
        const Task task(plan, index);
        const View<T> view = view_of(s, params, plan, task, x, scratch);
        const int64_t begin = (task.n0 * s.P + task.r0) * s.Q;
        WeightTile t;
        t.images = task.n1 - task.n0, t.rows = task.r1 - task.r0;
        t.Q = s.Q / fold, t.K = fold * s.K;
        t.pixel = fold * params.stride_w * s.C;
        t.row = params.dilation_h * view.row, t.next = params.stride_h * view.row;
        t.image = view.image, t.run = run;
        t.add = index > first;
        // The vectors of the last pixels may reach beyond the end of dy.
        const int64_t row = s.Q * s.K, count = (t.images - 1) * s.P + t.rows;
        const int64_t beyond = t.K % Vec<T>::kLanes == 0 ? 0 : ceil_div(Vec<T>::kLanes, row);
        t.safe = larger(smaller(count, s.N * s.P - begin / s.Q - beyond), 0);
        copy_run(dy + begin * s.K + t.safe * row, (count - t.safe) * row, tail);
        for (int64_t panel = 0; panel < panels.count(); ++panel) {
          t.last = panels.last_lanes(panel);
          const int64_t column = panels.first(panel);
          with_int<kTileVectors>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
            backward_weight_panel<T, NV>(t, s.KH, view.data, dy + begin * s.K + column,
                                         tail + column, to + column);
          });
        }
        if (db != nullptr) {
          column_sums(dy + begin * s.K, count * s.Q, s.K, to + sums, t.add);
        }
      }
    });

    if (db != nullptr) tree_sum(call.pool, part_sums + sums, parts, stride, s.K, db);
    tree_sum(call.pool, part_sums, parts, stride, sums, fold == 1 ? dw : part_sums);
    if (fold == 1) return;
    for (int64_t i = 0; i < s.KH; ++i) {
      for (int64_t j = 0; j < plan.run; ++j) {
        for (int64_t k = 0; k < s.K; ++k) {
          T sum = 0;
          for (int64_t f = 0; f < fold; ++f) {
            const int64_t row = i * run + j + f * params.stride_w * s.C;
            sum += part_sums[(row * fold + f) * s.K + k];
          }
          dw[(i * plan.run + j) * s.K + k] = sum;
        }
      }
    }
  });
}

}  // namespace convkit::CK_ISA
