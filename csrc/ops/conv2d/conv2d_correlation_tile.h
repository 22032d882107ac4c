// The register tiles of a correlation (conv2d_correlation.h). For kernel sources only (core/isa.h).
#pragma once

#include "core/kernel.h"
#include "gemm/panels.h"
#include "gemm/tile.h"

namespace convkit::CK_ISA {

// Tiles are narrow and tall: the filters are then read half as often as with kTileVectors, and 13,
// 14, 27, 28, 55, 56, 112 and 224 pixels are cut into tiles of 13 or 14.
template <class T>
constexpr int kCorrelationVectors = sizeof(T) == 4 && CK_ISA_LEVEL == 2 ? 2 : kTileVectors<T>;
template <class T>
using FilterPanels = Panels<T, kCorrelationVectors<T>>;

// Makes a pointer unknown to the compiler, which else would compute it anew from others that it
// keeps: more than there are registers for.
template <class T>
CK_INLINE void hide(const T*& pointer) {
  asm("" : "+r"(pointer));
}

// The taps of a pixel: `rows` filter rows of `taps` runs of `run` values each, rows of the filter
// `step` apart. What lies between a run and the next in the image, between the runs of a filter row
// and those of the next in the image and in the filter.
struct Taps {
  int64_t rows, taps, run, step;
  int64_t next_tap, next_row, next_filter_row;
};

// Where a tile goes: its pixels are those of `images` images at one place, then those at the next.
template <class T>
struct TilePixels {
  T* data;
  int64_t images, n;     // n: the image of the first
  int64_t image, pixel;  // distances

  // f(m, where pixel m is), for m < MR.
  template <int MR, class F>
  CK_INLINE void for_each(const F& f) const {
    T* at = data;
    int64_t i = n;
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      f(m, at);
      const bool wrap = ++i == images;
      at += wrap ? pixel - (images - 1) * image : image;
      if (wrap) i = 0;
    }
  }
};

// How a tile begins and ends.
template <class T>
struct TileEnds {
  const T* bias;  // null: 0
  bool add;       // begins with what is there, not with the bias
  T floor;        // values below it become it: 0 for relu, else -inf
  int last;       // lanes of the last vector
};

// MR pixels, `pixel` apart in the image, times one panel of channels.
template <class T, int MR, int NV>
void correlation_tile(const Taps& taps, const T* a, int64_t pixel, const T* b,
                      const TilePixels<T>& y, const TileEnds<T>& ends) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  const bool whole = ends.last == V::kLanes;
  const auto load = [&](const T* from, int v) {
    return v < NV - 1 || whole ? V::loadu(from) : V::load_partial(from, ends.last);
  };
  if (ends.add) {
    y.template for_each<MR>([&](int m, const T* at) {
      for (int v = 0; v < NV; ++v) tile.acc[m][v] = load(at + v * V::kLanes, v);
    });
  } else {
    for (int v = 0; v < NV; ++v) {
      const V start = ends.bias != nullptr ? load(ends.bias + v * V::kLanes, v) : V::zero();
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) tile.acc[m][v] = start;
    }
  }
  // Pointers that run through the taps: every third row has one, which the two after it share.
  constexpr int kPointers = (MR + 2) / 3;
  const T* rows[kPointers];
#pragma GCC unroll 8
  for (int r = 0; r < kPointers; ++r) rows[r] = a + 3 * r * pixel;
  const auto advance = [&](int64_t by) {
#pragma GCC unroll 8
    for (int r = 0; r < kPointers; ++r) {
      rows[r] += by;
      hide(rows[r]);
    }
  };
  for (int64_t i = 0; i < taps.rows; ++i) {
    for (int64_t j = 0; j < taps.taps; ++j) {
      for (int64_t t = 0; t < taps.run; ++t, b += taps.step) {
        V bv[NV];
        for (int v = 0; v < NV; ++v) bv[v] = V::loadu(b + v * V::kLanes);
#pragma GCC unroll 16
        for (int m = 0; m < MR; ++m) {
          const V av = V::broadcast(rows[m / 3][m % 3 * pixel]);
          for (int v = 0; v < NV; ++v) tile.acc[m][v] = fma(av, bv[v], tile.acc[m][v]);
        }
        advance(1);
      }
      advance(taps.next_tap);
    }
    advance(taps.next_row);
    b += taps.next_filter_row;
  }
  const V floor = V::broadcast(ends.floor);
  if (whole) {
    y.template for_each<MR>([&](int m, T* at) {
      for (int v = 0; v < NV; ++v) max_or_second(floor, tile.acc[m][v]).storeu(at + v * V::kLanes);
    });
    return;
  }
  y.template for_each<MR>([&](int m, T* at) {
    for (int v = 0; v < NV - 1; ++v)
      max_or_second(floor, tile.acc[m][v]).storeu(at + v * V::kLanes);
    max_or_second(floor, tile.acc[m][NV - 1]).store_partial(at + (NV - 1) * V::kLanes, ends.last);
  });
}

}  // namespace convkit::CK_ISA
