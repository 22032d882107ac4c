// The windows of a call, cut into chunks of work. For kernel sources only (core/isa.h).
//
// Backward, windows that do not overlap write their own part of the image (scatter); where they do
// overlap, every image pixel collects from its windows in their order (gather). Both divide the
// image by rows, and no row has two writers.
#pragma once

#include "core/checked.h"
#include "ops/activation/activation_through.h"
#include "ops/pool2d/pool2d_groups.h"

namespace convkit::CK_ISA {

// Chunks of about 8 Ki values read or written.
CK_INLINE Chunks chunks_of(int64_t rows, int64_t row_values) {
  constexpr int64_t kChunk = 8192;
  return {rows, row_values >= kChunk ? 1 : kChunk / (row_values > 0 ? row_values : 1)};
}

// A window: its part in the image, and the positions there.
template <class T>
struct Window {
  T* image;   // the part's first pixel
  int64_t o;  // where the window's outputs begin
  int64_t rows, columns;
  int64_t first;  // the first pixel's position
  int64_t count;  // what an average divides by
};

// Calls before(g, n, p) for each row of windows, then pixel(size, g, window) for its windows, then
// after(g, n, p); size is K for windows of K x K inside the image, else 0. Of those inside, the
// run in a row goes to group(size, g, run) instead, unless group.windows is 0. All get a copy of g,
// which no store can reach, so that it stays in registers.
template <int K, class T, class Before, class Pixel, class After, class Group = NoGroup>
CK_INLINE void for_windows(const Call& call, const PoolGeometry& geometry, T* image,
                           const Before& before, const Pixel& pixel, const After& after,
                           const Group& group = {}) {
  const int64_t values =
      checked_product(geometry.Q, geometry.C, geometry.k.window_h, geometry.k.window_w);
  const Chunks chunks = chunks_of(geometry.N * geometry.P, values);
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    const PoolGeometry g = geometry;
    const int64_t fit = (g.W - K + g.k.pad_left) / g.k.stride_w + 1;  // that end inside the image
    const int64_t inside = fit < g.Q ? fit : g.Q;
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / g.P, p = r % g.P;
      before(g, n, p);
      const Span rows = g.rows(p);
      T* const band = image + (n * g.H + rows.begin) * g.W * g.C;
      for (int64_t q = 0; q < g.Q; ++q) {
        const int64_t left = g.left(q), o = (r * g.Q + q) * g.C;
        if (K && rows.size() == K && left >= 0 && left + K <= g.W) {
          if constexpr (K > 0) {
            if (group.windows > 0) {
              group(Const<K>{}, g, WindowRun<T>{band + left * g.C, o, inside - q});
              q = inside - 1;
              continue;
            }
          }
          pixel(Const<K>{}, g, Window<T>{band + left * g.C, o, K, K, 0, K * K});
        } else {
          const Span columns = g.columns(q);
          const int64_t first = (rows.begin - g.top(p)) * g.k.window_w + columns.begin - left;
          pixel(Const<0>{}, g,
                Window<T>{band + columns.begin * g.C, o, rows.size(), columns.size(), first,
                          g.count(rows, columns)});
        }
      }
      after(g, n, p);
    }
  });
}

constexpr auto nothing = [](const PoolGeometry&, int64_t, int64_t) {};

// Whether no pixel lies in two windows, and whether every pixel lies in one.
CK_INLINE bool disjoint(const PoolGeometry& g) {
  return g.k.stride_h >= g.k.window_h && g.k.stride_w >= g.k.window_w;
}
CK_INLINE bool exact(const PoolGeometry& g) {
  return g.k.stride_h == g.k.window_h && g.k.stride_w == g.k.window_w && g.k.pad_top == 0 &&
         g.k.pad_left == 0 && g.H == g.P * g.k.window_h && g.W == g.Q * g.k.window_w;
}

// The rows of the image between the beginnings of a row of windows and of the next.
CK_INLINE Span rows_of_band(const PoolGeometry& g, int64_t p) {
  return {p == 0 ? 0 : g.rows(p).begin, p + 1 == g.P ? g.H : g.rows(p + 1).begin};
}
// And the values there.
CK_INLINE Span band_of(const PoolGeometry& g, int64_t n, int64_t p) {
  const Span rows = rows_of_band(g, p);
  return {(n * g.H + rows.begin) * g.W * g.C, (n * g.H + rows.end) * g.W * g.C};
}

// Calls pixel(size, g, window of dx) for each window, or group(size, g, run) for several. dx is
// cleared first where windows leave pixels out.
template <class T, class Pixel, class Group>
CK_INLINE void scatter(const Call& call, const PoolGeometry& geometry, const Through<T>& through,
                       const Pixel& pixel, const Group& group) {
  T* const dx = through.dx;
  const auto clear = [dx](const PoolGeometry& g, int64_t n, int64_t p) {
    if (exact(g)) return;
    const Span band = band_of(g, n, p);
    std::memset(dx + band.begin, 0, band.size() * sizeof(T));
  };
  const auto finish = [&](const PoolGeometry& g, int64_t n, int64_t p) {
    const Span band = band_of(g, n, p);
    through(band.begin, band.size());
  };
  choose_window<T, false>(geometry.k, [&]<int K>(Const<K>) {
    for_windows<K>(call, geometry, dx, clear, pixel, finish, group);
  });
}

// Calls pixel(g, h, w, window rows, window columns, n * P * Q * C, dx) for each pixel of the image:
// the windows that it lies in.
template <class T, class Pixel>
CK_INLINE void gather(const Call& call, const PoolGeometry& geometry, const Through<T>& through,
                      const Pixel& pixel) {
  const Pool2dParams& k = geometry.k;
  const int64_t values = checked_product(geometry.W, geometry.C, ceil_div(k.window_h, k.stride_h),
                                         ceil_div(k.window_w, k.stride_w));
  const Chunks chunks = chunks_of(geometry.N * geometry.H, values);
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    const PoolGeometry g = geometry;
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / g.H, h = r % g.H;
      const int64_t after = (h + g.k.pad_top) / g.k.stride_h + 1;
      const int64_t before = h + g.k.pad_top - g.k.window_h;  // the last row that misses h
      const Span ps = {before < 0 ? 0 : before / g.k.stride_h + 1, after < g.P ? after : g.P};
      Span qs = {0, 0};
      for (int64_t w = 0; w < g.W; ++w) {
        while (qs.end < g.Q && g.left(qs.end) <= w) ++qs.end;
        while (g.left(qs.begin) + g.k.window_w <= w) ++qs.begin;
        pixel(g, h, w, ps, qs, n * g.P * g.Q * g.C, through.dx + (r * g.W + w) * g.C);
      }
      through(r * g.W * g.C, g.W * g.C);
    }
  });
}

}  // namespace convkit::CK_ISA
