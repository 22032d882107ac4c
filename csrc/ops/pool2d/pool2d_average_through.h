// average_backward through an activation, for windows that do not overlap. For kernel sources only
// (core/isa.h).
//
// What a row of windows gives to a row of the image is made once, in a buffer, and from there goes
// to each of the rows. So each value of dx is written once, after the x at its place has been read:
// dx may take the place of x.
#pragma once

#include "gemm/runs.h"
#include "ops/pool2d/pool2d_groups.h"
#include "ops/pool2d/pool2d_windows.h"

namespace convkit::CK_ISA {

// Some columns of an image and some of their channels: whole pixels, or one pixel.
struct PoolPiece {
  int64_t w0, w1, c0, c1;
};

// The shares of a row of windows, as columns see them: zero where no window is. dy is that of the
// row's first window.
template <class T>
CK_INLINE void spread_shares(const PoolGeometry& g, const T* dy, Span rows, const PoolPiece& piece,
                             T* line) {
  const int64_t at = piece.w0 + g.k.pad_left, n = piece.c1 - piece.c0;
  const int64_t most = g.k.window_h * g.k.window_w;
  const T full = T(1) / static_cast<T>(most);
  choose_lanes<T>(n, [&]<int L>(Const<L>) {
    for (int64_t q = at / g.k.stride_w, j = at % g.k.stride_w, w = piece.w0; w < piece.w1; ++q) {
      const int64_t count = q < g.Q ? g.count(rows, g.columns(q)) : most;
      const T inverse = count == most ? full : T(1) / static_cast<T>(count);
      const T* const from = dy + q * g.C + piece.c0;
      for (; j < g.k.stride_w && w < piece.w1; ++j, ++w, line += n) {
        const bool covered = j < g.k.window_w && q < g.Q;
        for_channels<L>(n, [&](int64_t c) {
          VecOf<T, L> share = {};
          if (covered) share = load<L>(from + c) * inverse;
          store<L>(line + c, share);
        });
      }
      j = 0;
    }
  });
}

// The same for a whole row of 2 x 2 windows next to each other, of few channels: several windows at
// a time. dy has `size` values from this row on.
template <class T>
CK_INLINE void spread_grouped_shares(const WindowGroup<T>& windows, const PoolGeometry& g,
                                     const T* dy, int64_t size, T* line) {
  using Group = WindowGroup<T>;
  const WindowRun<T> run = {line, 0, g.Q};
  windows.template each_spread<2>(g, run, size, [&](auto all, T* to, int64_t o, int64_t count) {
    const auto share = windows.get(all, dy + o, count * g.C) * T(0.25);
    for (int t = 0; t < 2; ++t) {
      const auto value = windows.column[t] >= 0 ? windows.give(share, t) : typename Group::V{};
      store<Group::kLanes>(to + t * Group::kLanes, value);
    }
  });
}

// All of dx.
template <class T>
void average_backward_through(const Call& call, const PoolGeometry& geometry, const T* dy,
                              const Through<T>& through) {
  constexpr int64_t kPiece = 2048;  // values
  const int64_t channels = geometry.C < kPiece ? geometry.C : kPiece;
  const int64_t columns = geometry.C > kPiece ? 1 : kPiece / (geometry.C > 0 ? geometry.C : 1);
  const Chunks chunks = chunks_of(geometry.N * geometry.P,
                                  checked_product(geometry.W, geometry.C, geometry.k.stride_h));
  const WindowGroup<T> group(geometry, 2);
  const bool grouped = group.windows > 1 && exact(geometry) && geometry.W <= columns;
  const int64_t size = call[0].size();
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    const PoolGeometry g = geometry;
    T line[kPiece + 2 * Vec<T>::kLanes];
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / g.P, p = r % g.P;
      const Span rows = g.rows(p), band = rows_of_band(g, p);
      for (int64_t w = 0; w < g.W; w += columns) {
        for (int64_t c = 0; c < g.C; c += channels) {
          const PoolPiece piece = {w, w + columns < g.W ? w + columns : g.W, c,
                                   c + channels < g.C ? c + channels : g.C};
          const int64_t values = (piece.w1 - piece.w0) * (piece.c1 - piece.c0);
          const auto write = [&](int64_t begin, int64_t end) {
            for (int64_t h = begin; h < end; ++h) {
              const int64_t at = ((n * g.H + h) * g.W + w) * g.C + c;
              through_activation(through.kind, through.alpha, line, through.x + at, values,
                                 through.dx + at);
            }
          };
          const int64_t first = r * g.Q * g.C;
          if (WindowGroup<T>::kFast && grouped) {
            spread_grouped_shares(group, g, dy + first, size - first, line);
          } else {
            spread_shares(g, dy + first, rows, piece, line);
          }
          write(rows.begin, rows.end);
          if (band.size() == rows.size()) continue;
          clear_run(line, values);
          write(band.begin, rows.begin);
          write(rows.end, band.end);
        }
      }
    }
  });
}

}  // namespace convkit::CK_ISA
