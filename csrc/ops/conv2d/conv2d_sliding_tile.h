// The register tile of a correlation of few filters and no stride. For kernel sources only
// (core/isa.h).
//
// With filters for one vector only, a tile loads a value of the image for each multiply-add, and
// the loads are what takes the time. But neighbouring pixels of the result share their taps: a
// value of the image that is loaded once meets all KW taps of a filter row, each for another pixel.
#pragma once

#include "ops/conv2d/conv2d_correlation_tile.h"

namespace convkit::CK_ISA {

// Where the registers suffice for the tile and KW vectors of filters.
template <class T>
constexpr bool kSlidingTiles = sizeof(T) == 4 && CK_ISA_LEVEL == 2;

// A row of the result is cut into tiles of 5 to 10 pixels, of two rows if it can be.
constexpr int kSlidingMost = 10, kSlidingLeast = 5, kSlidingRow = 8;

// For rows of Q pixels and KW taps.
CK_INLINE bool sliding_fits(int64_t Q, int64_t KW) {
  return Q >= kSlidingRow && (KW == 3 || KW == 5);
}

// The taps of a tile: of each filter row C runs of KW values.
struct SlidingTaps {
  int64_t rows, C;
  int64_t row;    // from one filter row to the next in the image
  int64_t below;  // and from one row of the result
  int64_t step;   // from one row of the filters to the next
};

// R rows of M pixels times one vector of filters.
template <class T, int R, int M, int KW>
void sliding_tile(const SlidingTaps& taps, const T* a, const T* b, T* y, int64_t y_row,
                  int64_t y_pixel, const TileEnds<T>& ends) {
  using V = Vec<T>;
  V acc[R * M];
  const auto each_pixel = [&](const auto& f) {
#pragma GCC unroll 32
    for (int i = 0; i < R * M; ++i) f(acc[i], y + i / M * y_row + i % M * y_pixel);
  };
  if (ends.add) {
    each_pixel([&](V& sum, const T* at) { sum = V::load_partial(at, ends.last); });
  } else {
    const V start = ends.bias != nullptr ? V::load_partial(ends.bias, ends.last) : V::zero();
    each_pixel([&](V& sum, const T*) { sum = start; });
  }
  const int64_t C = taps.C, below = taps.below, tap = C * taps.step;
  for (int64_t i = 0; i < taps.rows; ++i, a += taps.row, b += KW * tap) {
    const T* filter = b;
    for (int64_t c = 0; c < C; ++c, filter += taps.step) {
      V w[KW];
#pragma GCC unroll 5
      for (int j = 0; j < KW; ++j) w[j] = V::loadu(filter + j * tap);
      const T* from[] = {a + c, a + c + below};
#pragma GCC unroll 32
      for (int place = 0; place < R * (M + KW - 1); ++place) {
        const int x = place / R, r = place % R;
        const V value = V::broadcast(*from[r]);
        from[r] += C;
        hide(from[r]);
#pragma GCC unroll 5
        for (int j = 0; j < KW; ++j) {
          if (x >= j && x - j < M) {
            acc[r * M + x - j] = fma(value, w[j], acc[r * M + x - j]);
          }
        }
      }
    }
  }
  const V floor = V::broadcast(ends.floor);
  if (ends.last == V::kLanes) {
    each_pixel([&](V sum, T* at) { max_or_second(floor, sum).storeu(at); });
  } else {
    each_pixel([&](V sum, T* at) { max_or_second(floor, sum).store_partial(at, ends.last); });
  }
}

}  // namespace convkit::CK_ISA
