// The maximum over windows of rows of z that lie in the scratch memory of a task, and the way back
// to such rows. For kernel sources only (core/isa.h).
#pragma once

#include "gemm/runs.h"
#include "ops/activation/activation_through.h"
#include "ops/conv2d_pool/conv2d_pool.h"
#include "ops/pool2d/pool2d_lanes.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {

// The geometry of the pooling: its image is z [N,P,Q,K], its result y [N,PP,PQ,K].
CK_INLINE PoolGeometry conv2d_pool_geometry(const Conv2dShape& s, const Tensor& y,
                                            const Conv2dPoolParams& params) {
  Tensor z;
  z.rank = 4;
  z.shape[0] = s.N, z.shape[1] = s.P, z.shape[2] = s.Q, z.shape[3] = s.K;
  return {z, y, pool2d_of(params)};
}

// The rows of z that rows [p0, p1) of windows cover.
CK_INLINE Span rows_of_windows(const PoolGeometry& g, int64_t p0, int64_t p1) {
  return {g.rows(p0).begin, g.rows(p1 - 1).end};
}

// The rows of windows that reach into rows [r0, r1) of z.
CK_INLINE Span windows_of_rows(const PoolGeometry& g, int64_t r0, int64_t r1) {
  const int64_t missed = r0 + g.k.pad_top - g.k.window_h;  // the last top that does not reach r0
  const int64_t begin = missed < 0 ? 0 : missed / g.k.stride_h + 1;
  const int64_t end = (r1 - 1 + g.k.pad_top) / g.k.stride_h + 1;
  return {begin, end < g.P ? end : g.P};
}

// The winners of a vector of channels: as bytes in memory, as integers of T's width here.
template <class T>
CK_INLINE auto load_winners_at(WholeVector<T> at, const uint8_t* p) {
  return load_winners<T, Vec<T>::kLanes>(p + at.j);
}
template <class T>
CK_INLINE auto load_winners_at(RestVector<T> at, const uint8_t* p) {
  uint8_t bytes[Vec<T>::kLanes] = {};
  __builtin_memcpy(bytes, p + at.j, static_cast<unsigned>(at.lanes));
  return load_winners<T, Vec<T>::kLanes>(bytes);
}
template <class T>
CK_INLINE void store_winners_at(WholeVector<T> at, uint8_t* p, typename Vec<T>::Int winners) {
  store_winners<T, Vec<T>::kLanes>(p + at.j, winners);
}
template <class T>
CK_INLINE void store_winners_at(RestVector<T> at, uint8_t* p, typename Vec<T>::Int winners) {
  uint8_t bytes[Vec<T>::kLanes];
  store_winners<T, Vec<T>::kLanes>(bytes, winners);
  __builtin_memcpy(p + at.j, bytes, static_cast<unsigned>(at.lanes));
}

// f(at) for the vectors of n channels, of which some may come twice: where there are enough, the
// last vector reaches back to end with the channels.
template <class T, class F>
CK_INLINE void each_channels(int64_t n, const F& f) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  if (n < lanes) return each_vector<T>(n, f);
  for (int64_t j = 0; j < n; j += lanes) f(WholeVector<T>{j + lanes <= n ? j : n - lanes});
}

// Row p of windows for `channels` of the channels, whose values of row r, pixel q of the image lie
// at z + r * row + q * pixel. They go to y and, unless it is null, winner: where those of window 0
// of the row do, of all channels.
template <class T>
void pool_row(const PoolGeometry& geometry, const T* z, int64_t row, int64_t pixel,
              int64_t channels, int64_t p, T* y, uint8_t* winner) {
  using V = Vec<T>;
  const PoolGeometry g = geometry;  // which no store can reach
  const Span rows = g.rows(p);
  choose_window<T, true>(g.k, [&]<int W>(Const<W>) {
    for (int64_t q = 0; q < g.Q; ++q, y += g.C) {
      const Span columns = g.columns(q);
      const T* const window = z + rows.begin * row + columns.begin * pixel;
      const int64_t first = (rows.begin - g.top(p)) * g.k.window_w + columns.begin - g.left(q);
      const auto maximum = [&](int64_t height, int64_t width) {
        each_channels<T>(channels, [&](auto at) {
          V best = at.load(window), won = V(static_cast<T>(first));
          for (int64_t i = 0; i < height; ++i) {
            for (int64_t j = 0; j < width; ++j) {
              if (i == 0 && j == 0) continue;
              const V value = at.load(window + i * row + j * pixel);
              // Not <= instead of >, so that a NaN wins; after it, best == best is false.
              const Mask<T> better = !(value <= best) & (best == best);
              best = select(better, value, best);
              won = select(better, V(static_cast<T>(first + i * g.k.window_w + j)), won);
            }
          }
          at.store(y, best);
          if (winner == nullptr) return;
          store_winners_at(at, winner + q * g.C, __builtin_convertvector(won.v, typename V::Int));
        });
      };
      if (W > 0 && rows.size() == W && columns.size() == W) {
        maximum(W, W);
      } else {
        maximum(rows.size(), columns.size());
      }
    }
  });
}

// Makes rows of dz, of some channels, where conv2d would read rows of dy.
template <class T>
struct UnpoolRow {
  PoolGeometry geometry;
  Activation activation;
  double alpha;
  const T* dy;
  const T* y;
  const uint8_t* winner;

  // Writes channels [k0, k1) of pixel q of row r of image n to `to` + q * pixel.
  void operator()(int64_t n, int64_t r, int64_t k0, int64_t k1, T* to, int64_t pixel) const {
    const PoolGeometry g = geometry;
    const int64_t K = k1 - k0;
    const Span windows = windows_of_rows(g, r, r + 1);
    // Where no windows overlap, the only one of a row of windows writes; what it leaves out is 0.
    const bool apart = g.k.stride_h >= g.k.window_h && g.k.stride_w >= g.k.window_w;
    const bool all = apart && windows.size() > 0 && g.k.stride_w == g.k.window_w &&
                     g.Q * g.k.window_w - g.k.pad_left >= g.W;
    if (!all && pixel == K) clear_run(to, g.W * K);
    for (int64_t q = 0; q < g.W && !all && pixel != K; ++q) clear_run(to + q * pixel, K);
    constexpr int64_t kBuffer = 1024;
    T buffer[kBuffer];
    // Some windows at a time, or some channels of one.
    const int64_t together = K == g.C && K < kBuffer ? kBuffer / K : 1;
    for (int64_t p = windows.begin; p < windows.end; ++p) {
      const int64_t begin = (n * g.P + p) * g.Q * g.C + k0, first = (r - g.top(p)) * g.k.window_w;
      for (int64_t q0 = 0; q0 < g.Q; q0 += together) {
        const int64_t q1 = q0 + together < g.Q ? q0 + together : g.Q;
        for (int64_t c = 0; c < K; c += kBuffer) {
          const int64_t channels = K - c < kBuffer ? K - c : kBuffer, at = begin + q0 * g.C + c;
          const bool linear = activation == Activation::linear;
          if (!linear) {
            through_activation(activation, alpha, dy + at, y + at, (q1 - q0) * channels, buffer);
          }
          for (int64_t q = q0; q < q1; ++q) {
            const int64_t from = (q - q0) * g.C;
            const T* const values = linear ? dy + at + from : buffer + (q - q0) * channels;
            spread(g, q, first, channels, values, winner + at + from, apart, to + c, pixel);
          }
        }
      }
    }
  }

  // All channels.
  CK_INLINE void operator()(int64_t n, int64_t r, T* to, int64_t pixel) const {
    (*this)(n, r, 0, geometry.C, to, pixel);
  }

 private:
  // One row of one window: its values go to the pixels that won.
  CK_INLINE static void spread(const PoolGeometry& g, int64_t q, int64_t first, int64_t channels,
                               const T* values, const uint8_t* winners, bool apart, T* to,
                               int64_t pixel) {
    using V = Vec<T>;
    const Span columns = g.columns(q);
    T* const begin = to + columns.begin * pixel;
    first += columns.begin - g.left(q);
    const auto write = [&](auto at, int64_t width, bool add) {
      const V value = at.load(values);
      const auto won = load_winners_at(at, winners);
      for (int64_t j = 0; j < width; ++j) {
        T* const to_pixel = begin + j * pixel;
        const Mask<T> here = {(typename V::Int)(won == static_cast<IntOf<T>>(first + j))};
        const V share = select(here, value, V::zero());
        at.store(to_pixel, add ? at.load(to_pixel) + share : share);
      }
    };
    const int64_t width = columns.size();
    if (!apart) return each_vector<T>(channels, [&](auto at) { write(at, width, true); });
    if (width == 2) return each_channels<T>(channels, [&](auto at) { write(at, 2, false); });
    each_channels<T>(channels, [&](auto at) { write(at, width, false); });
  }
};

// The same for a call whose operands these are.
template <class T>
CK_INLINE UnpoolRow<T> unpool_row(const Conv2dShape& s, const Conv2dPoolParams& params,
                                  const Tensor& dy, const Tensor& y, const Tensor& winner) {
  return {conv2d_pool_geometry(s, dy, params),
          static_cast<Activation>(params.activation),
          params.alpha,
          dy.as<T>(),
          y.as<T>(),
          winner.as<uint8_t>()};
}

}  // namespace convkit::CK_ISA
