// The tiles of the weight gradient of a convolution. For kernel sources only (core/isa.h).
#pragma once

#include "gemm/tile.h"
#include "ops/conv2d/conv2d_weight_plan.h"

namespace convkit::CK_ISA {

// The weight gradient is a product of columns of x, of which a filter row has KW*C, and columns of
// dy over pixels. These are in lines: of neighbours in a row, or of one place in several images.
struct WeightTile {
  static constexpr int kMaxLines = kWeightPixels;
  int lines;
  int64_t depth;            // pixels in a line
  int64_t pixel;            // from one to the next in x
  int64_t dy_pixel;         // and in dy
  int64_t row;              // from one filter row to the next in x
  int64_t columns;          // of a filter row, of sums
  bool add;                 // to the sums that are there
  int64_t x_at[kMaxLines];  // where the lines begin
  int64_t dy_at[kMaxLines];
  // dy of the next lines, where it is read in place: the tiles fetch it into the cache.
  const char *ahead, *ahead_end;
};

// KR filter rows times MR neighbouring columns of x times one panel of filters, NV vectors wide.
template <class T, int KR, int MR, int NV>
void weight_tile(WeightTile& t, const T* x, const T* dy, T* sums) {
  constexpr int kLanes = Vec<T>::kLanes, kWidth = NV * kLanes;
  Tile<T, KR * MR, NV> tile;
  tile.clear();
  const int64_t row = t.row;
  const char* ahead = t.ahead;
  const int64_t fetched = ahead < t.ahead_end ? 64 : 0;  // bytes for each pixel
  for (int l = 0; l < t.lines; ++l) {
    const T* a = x + t.x_at[l];
    const T* b = dy + t.dy_at[l];
    for (int64_t i = 0; i < t.depth; ++i, a += t.pixel, b += t.dy_pixel) {
      if (sizeof(T) == 4) __builtin_prefetch(ahead), ahead += fetched;
      tile.multiply(a, [row](int m) { return (m / MR) * row + m % MR; }, 0, b, 0, 1);
    }
  }
  t.ahead = ahead;
#pragma GCC unroll 5
  for (int r = 0; r < KR; ++r) {
    T* const to = sums + r * t.columns * kWidth;
    if (t.add) tile.template load<MR, true>(r * MR, to, kWidth, kLanes);
    tile.template store<MR>(r * MR, to, kWidth, kLanes);
  }
}

// The same for few filters and no stride: a value of x that is loaded once meets all KW taps, each
// with another pixel of dy, for which a line of M pixels is in registers. The taps are those of CR
// neighbouring channels of `channels`.
template <class T, int KW, int CR, int M>
void sliding_weight_tile(WeightTile& t, int64_t channels, const T* x, const T* dy, T* sums) {
  using V = Vec<T>;
  V acc[CR][KW];
#pragma GCC unroll 3
  for (int c = 0; c < CR; ++c) {
#pragma GCC unroll 5
    for (int j = 0; j < KW; ++j) {
      acc[c][j] = t.add ? V::loadu(sums + (j * channels + c) * V::kLanes) : V::zero();
    }
  }
  const char* ahead = t.ahead;
  const int64_t fetched = ahead < t.ahead_end ? M * 64 : 0;  // bytes for each line
  for (int l = 0; l < t.lines; ++l) {
    const T* a = x + t.x_at[l];
    const T* b = dy + t.dy_at[l];
    V line[M];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      line[m] = V::loadu(b + m * t.dy_pixel);
      if (fetched > 0) __builtin_prefetch(ahead + m * 64);
    }
    ahead += fetched;
#pragma GCC unroll 16
    for (int i = 0; i < M + KW - 1; ++i) {
#pragma GCC unroll 3
      for (int c = 0; c < CR; ++c) {
        const V value = V::broadcast(a[c]);
#pragma GCC unroll 5
        for (int j = 0; j < KW; ++j) {
          if (i >= j && i - j < M) acc[c][j] = fma(value, line[i - j], acc[c][j]);
        }
      }
      a += t.pixel;
      asm("" : "+r"(a));  // else its values are computed beforehand, for more registers than exist
    }
  }
  t.ahead = ahead;
#pragma GCC unroll 3
  for (int c = 0; c < CR; ++c) {
#pragma GCC unroll 5
    for (int j = 0; j < KW; ++j) acc[c][j].storeu(sums + (j * channels + c) * V::kLanes);
  }
}

// Where there are registers for them, and the pixels of a line for which there are such tiles.
template <class T>
constexpr bool kSlidingWeights = sizeof(T) == 4 && CK_ISA_LEVEL == 2;
constexpr int kSlidingLine = 12, kSlidingShortest = 6;

// Whether tiles slide for blocks of C channels and K filters.
template <class T>
CK_INLINE bool weight_slides(const Conv2dShape& s, int64_t C, int64_t K) {
  return kSlidingWeights<T> && C >= 3 && K <= Vec<T>::kLanes && s.Q >= kSlidingShortest &&
         (s.KW == 3 || s.KW == 5);
}

// All filter rows of KW taps, where the tiles slide.
template <class T, int KW>
void sliding_weight_tiles(WeightTile& t, int64_t KH, int64_t channels, const T* x, const T* dy,
                          T* sums) {
  constexpr int kLanes = Vec<T>::kLanes, kSizes = kSlidingLine - kSlidingShortest + 1;
  with_int<kSizes>(static_cast<int>(t.depth) - kSlidingShortest + 1, [&]<int Size>(Int<Size>) {
    constexpr int M = Size + kSlidingShortest - 1;
    for (int64_t i = 0; i < KH; ++i, x += t.row, sums += t.columns * kLanes) {
      int64_t c = 0;
      for (; c + 3 <= channels; c += 3) {
        sliding_weight_tile<T, KW, 3, M>(t, channels, x + c, dy, sums + c * kLanes);
      }
      for (; c < channels; ++c) {
        sliding_weight_tile<T, KW, 1, M>(t, channels, x + c, dy, sums + c * kLanes);
      }
    }
  });
}

// How many rows a tile of the weight gradient may have: more than elsewhere, as their addresses
// need no registers.
template <class T>
constexpr int weight_rows(int vectors) {
  if (sizeof(T) > 4) return 6;
  if (CK_ISA_LEVEL == 2) return vectors == 1 ? 30 : vectors == 2 ? 14 : vectors == 3 ? 9 : 6;
  return vectors == 1 ? 12 : 6;
}

// All filter rows times `run` columns of x.
template <class T, int NV>
void weight_tiles(WeightTile& t, int64_t KH, int64_t run, const T* x, const T* dy, T* sums) {
  constexpr int kRows = weight_rows<T>(NV), kWidth = NV * Vec<T>::kLanes;
  int64_t i = 0;
  const auto filter_rows = [&]<int KR>(Int<KR>) {
    constexpr int kMost = kRows / KR;
    for_each_tile(run, kMost, [&](int64_t j, int size) {
      with_int<kMost>(size, [&]<int MR>(Int<MR>) {
        weight_tile<T, KR, MR, NV>(t, x + i * t.row + j, dy, sums + (i * t.columns + j) * kWidth);
      });
    });
  };
  // Short runs: several filter rows at a time keep the multiply-adds busy.
  if constexpr (kRows >= 5) {
    if (run <= kRows / 5) {
      for (; i + 5 <= KH; i += 5) filter_rows(Int<5>{});
    }
  }
  if (run <= kRows / 3) {
    for (; i + 3 <= KH; i += 3) filter_rows(Int<3>{});
  }
  for (; i < KH; ++i) filter_rows(Int<1>{});
}

// How many pixels to fold: the share of useful lanes times that of useful columns decides. Folded,
// they make one row of fold*K filters; their taps are columns of a run that is (fold-1)*stride
// pixels longer.
template <class T>
CK_INLINE int64_t choose_fold(const Conv2dShape& s, const Conv2dParams& params) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  int64_t best = 1;
  double best_share = 0;
  for (int64_t fold = 1; fold <= kConv2dMaxFold; fold *= 2) {
    if (fold > 1 && (s.Q % fold != 0 || !conv2d_may_fold(s, params, sizeof(T)))) break;
    const double share =
        static_cast<double>(fold * s.K * s.KW) /
        static_cast<double>(round_up(fold * s.K, lanes) * (s.KW + (fold - 1) * params.stride_w));
    if (share > best_share) best = fold, best_share = share;
  }
  return best;
}

}  // namespace convkit::CK_ISA
