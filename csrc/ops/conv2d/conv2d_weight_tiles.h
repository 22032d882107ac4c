// The tiles of the weight gradient of a convolution. For kernel sources only (core/isa.h).
#pragma once

#include "gemm/tile.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_plan.h"

namespace convkit::CK_ISA {

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
