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

namespace convkit::CK_ISA {

// One task of the plan: images [n0, n1), rows [r0, r1) of the result.
struct ConvTask {
  int64_t n0, n1, r0, r1;

  CK_INLINE ConvTask(const ImplicitGemmPlan& plan, int64_t task) {
    const int64_t i = task / plan.rows.count(), r = task % plan.rows.count();
    n0 = plan.images.begin(i), n1 = plan.images.end(i);
    r0 = plan.rows.begin(r), r1 = plan.rows.end(r);
  }
};

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

// Filter rows per sweep over the pixels: their part of a panel shall stay in the cache.
template <class T>
CK_INLINE int64_t rows_per_sweep(int64_t KH, int64_t row_values) {
  const int64_t fit = (int64_t{256} << 10) / larger(row_values * int64_t{sizeof(T)}, 1);
  return larger(smaller(KH, fit), 1);
}

// Where the taps are: KH runs of `run` values, `row` apart; the next pixel is `pixel` further.
struct ConvTaps {
  int64_t KH, run, row, pixel;
};

// MR neighbouring output pixels times one panel of channels. Without a bias, adds to y.
template <class T, int MR, int NV>
void forward_tile(const ConvTaps& taps, const T* a, const T* b, const T* bias, T* y, int64_t K,
                  int last) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  if (bias != nullptr) {
    for (int v = 0; v < NV; ++v) {
      const V start = V::loadu(bias + v * V::kLanes);
      for (int m = 0; m < MR; ++m) tile.acc[m][v] = start;
    }
  } else {
    tile.load(0, y, K, last);
  }
  const int64_t pixel = taps.pixel;
  for (int64_t i = 0; i < taps.KH; ++i) {
    tile.multiply(a, [pixel](int m) { return m * pixel; }, 1, b, NV * V::kLanes, taps.run);
    a += taps.row;
    b += taps.run * NV * V::kLanes;
  }
  tile.store(0, y, K, last);
}

// Pixel pairs: with one input channel and up to 8 output channels, a vector of AVX-512 holds two
// neighbouring output pixels, lane 2k+u channel k of pixel u. The taps of the pair are then the
// pair x[j], x[j+1], broadcast as one 8-byte value: no lane multiplies what it does not need.
template <class T>
CK_INLINE bool pixel_pairs_fit(const Conv2dShape& s, const Conv2dParams& params) {
  return CK_X86_64 && CK_ISA_LEVEL == 2 && sizeof(T) == 4 && s.C == 1 && params.stride_w == 1 &&
         2 * s.K <= Vec<T>::kLanes && s.Q >= 2;
}

// Rows of K weights (or one of biases), each value twice, in vectors padded with zeros.
template <class T>
CK_INLINE void pack_pixel_pairs(const T* w, int64_t rows, int64_t K, T* packed) {
  clear_run(packed, rows * Vec<T>::kLanes);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < 2 * K; ++k) packed[i * Vec<T>::kLanes + k] = w[i * K + k / 2];
  }
}

#if CK_X86_64 && CK_ISA_LEVEL == 2

// MR pairs, from a row of Q pixels.
template <int MR>
void forward_pair_tile(const ConvTaps& taps, const float* a, const float* b, const float* bias,
                       float* y, int64_t K) {
  using V = Vec<float>;
  V acc[MR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) acc[m] = V::loadu(bias);
  for (int64_t i = 0; i < taps.KH; ++i, a += taps.row) {
    const float* from = a;
    for (int64_t j = 0; j < taps.run; ++j, ++from, b += V::kLanes) {
      // Hides that the pairs of one tap are those of the last: GCC would carry them over in
      // general registers, at twice the cost of loading them.
      asm("" : "+r"(from));
      const V bv = V::loadu(b);
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        int64_t pair;
        __builtin_memcpy(&pair, from + 2 * m, sizeof(pair));
        acc[m] = fma(V((raw::F32)(raw::I64{} + pair)), bv, acc[m]);
      }
    }
  }
  // Lane u*K + k takes lane 2k + u.
  const int n = static_cast<int>(K);
  alignas(64) int32_t from[V::kLanes] = {};
  for (int i = 0; i < 2 * n; ++i) from[i] = 2 * (i % n) + i / n;
  const __m512i order = _mm512_load_si512(from);
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
    const V pixels(_mm512_maskz_permutexvar_ps(-1, order, acc[m].v));
    pixels.store_partial(y + 2 * m * K, 2 * n);
  }
}

CK_INLINE void forward_pixel_pairs(const ConvTaps& taps, const float* a, const float* b,
                                   const float* bias, float* y, int64_t Q, int64_t K) {
  constexpr int kMost = 14;
  for_each_tile(Q / 2, kMost, [&](int64_t m, int size) {
    with_int<kMost>(size, [&]<int MR>(Int<MR>) {
      forward_pair_tile<MR>(taps, a + 2 * m, b, bias, y + 2 * m * K, K);
    });
  });
  // The last of an odd number of pixels comes out of a pair with the one before it.
  if (Q % 2 != 0) forward_pair_tile<1>(taps, a + Q - 2, b, bias, y + (Q - 2) * K, K);
}

#endif

template <class T>
CK_INLINE void forward_pixel_pairs(const ConvTaps&, const T*, const T*, const T*, T*, int64_t,
                                   int64_t) {}

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
#pragma GCC unroll 5
  for (int r = 0; r < KR; ++r) {
    T* const to = dw + r * t.run * t.K;
    if (t.add) tile.template load<MR, true>(r * MR, to, t.K, t.last);
    tile.template store<MR>(r * MR, to, t.K, t.last);
  }
}

// How many rows a tile of the weight gradient may have: more than elsewhere, as their addresses
// need no registers.
template <class T>
constexpr int weight_rows(int vectors) {
  if (sizeof(T) > 4) return 6;
  if (CK_ISA_LEVEL == 2) return vectors == 1 ? 30 : vectors == 2 ? 14 : vectors == 3 ? 9 : 6;
  return vectors == 1 ? 12 : 6;
}

// All tiles of one panel for filter rows [i, KH).
template <class T, int NV>
void backward_weight_panel(const WeightTile& t, int64_t i, int64_t KH, const T* x, const T* dy,
                           const T* tail, T* dw) {
  constexpr int kRows = weight_rows<T>(NV);
  const auto filter_rows = [&]<int KR>(Int<KR>) {
    for_each_tile(t.run, kRows / KR < 15 ? kRows / KR : 15, [&](int64_t j, int size) {
      with_int<(kRows / KR < 15 ? kRows / KR : 15)>(size, [&]<int MR>(Int<MR>) {
        backward_weight_tile<T, KR, MR, NV>(t, x + i * t.row + j, dy, tail,
                                            dw + (i * t.run + j) * t.K);
      });
    });
  };
  // Short runs: several filter rows at a time keep the multiply-adds busy.
  if constexpr (kRows >= 5) {
    if (t.run <= kRows / 5) {
      for (; i + 5 <= KH; i += 5) filter_rows(Int<5>{});
    }
  }
  if (t.run <= kRows / 3) {
    for (; i + 3 <= KH; i += 3) filter_rows(Int<3>{});
  }
  for (; i < KH; ++i) filter_rows(Int<1>{});
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

}  // namespace convkit::CK_ISA
