// pool2d with vectors along the channels.
//
// The last vector of a pixel reaches back to end with the pixel instead of being cut short, so some
// values are computed twice. That is why nothing here adds to memory: every result is finished in
// registers and stored. Fewer channels than a register holds take a narrower vector.
//
// Backward, windows that do not overlap write their own part of the image (scatter); where they do
// overlap, every image pixel collects from its windows in their order (gather). Both divide the
// image by rows, and no row has two writers.
#include "core/checked.h"
#include "ops/activation/activation_through.h"
#include "ops/pool2d/pool2d_lanes.h"

namespace convkit::CK_ISA {
namespace {

// Chunks of about 32 Ki values read or written.
CK_INLINE Chunks chunks_of(int64_t rows, int64_t row_values) {
  constexpr int64_t kChunk = 32768;
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
// after(g, n, p); size is K for windows of K x K inside the image, else 0. They get a copy of g,
// which no store can reach, so that it stays in registers.
template <int K, class T, class Before, class Pixel, class After>
CK_INLINE void for_windows(const Call& call, const PoolGeometry& geometry, T* image,
                           const Before& before, const Pixel& pixel, const After& after) {
  const int64_t values =
      checked_product(geometry.Q, geometry.C, geometry.k.window_h, geometry.k.window_w);
  const Chunks chunks = chunks_of(geometry.N * geometry.P, values);
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    const PoolGeometry g = geometry;
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / g.P, p = r % g.P;
      before(g, n, p);
      const Span rows = g.rows(p);
      T* const band = image + (n * g.H + rows.begin) * g.W * g.C;
      for (int64_t q = 0; q < g.Q; ++q) {
        const int64_t left = g.left(q), o = (r * g.Q + q) * g.C;
        if (K && rows.size() == K && left >= 0 && left + K <= g.W) {
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

template <class T, bool kWinner, class Index>
CK_INLINE void max_forward(const Call& call) {
  const PoolGeometry geometry(call[0], call[1], call.as<Pool2dParams>());
  T* const y = call[1].as<T>();
  Index* const argmax = call[2].as<Index>();
  choose_lanes<T>(geometry.C, [&]<int L>(Const<L>) {
    using I = VecOf<IntOf<T>, L>;
    const auto pixel = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<const T>& a) {
      const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
      const int64_t width = K ? K : g.k.window_w;
      for_channels<L>(g.C, [&](int64_t c) {
        auto best = load<L>(a.image + c);
        I winner = I{} + static_cast<IntOf<T>>(a.first);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < columns; ++j) {
            if (i == 0 && j == 0) continue;
            const auto value = load<L>(a.image + (i * g.W + j) * g.C + c);
            const I position = I{} + static_cast<IntOf<T>>(a.first + i * width + j);
            // Not <= instead of >, so that a NaN wins; after it, best == best is false.
            const I better = ~(I)(value <= best) & (I)(best == best);
            best = better ? value : best;
            if constexpr (kWinner) winner = better ? position : winner;
          }
        }
        store<L>(y + a.o + c, best);
        if constexpr (kWinner) store_winners<T, L>(argmax + a.o + c, winner);
      });
    };
    choose_window<T, true>(geometry.k, [&]<int K>(Const<K>) {
      for_windows<K>(call, geometry, call[0].as<const T>(), nothing, pixel, nothing);
    });
  });
}

// Whether no pixel lies in two windows, and whether every pixel lies in one.
CK_INLINE bool disjoint(const PoolGeometry& g) {
  return g.k.stride_h >= g.k.window_h && g.k.stride_w >= g.k.window_w;
}
CK_INLINE bool exact(const PoolGeometry& g) {
  return g.k.stride_h == g.k.window_h && g.k.stride_w == g.k.window_w && g.k.pad_top == 0 &&
         g.k.pad_left == 0 && g.H == g.P * g.k.window_h && g.W == g.Q * g.k.window_w;
}

// The values of the image between the beginnings of a row of windows and of the next.
CK_INLINE Span band_of(const PoolGeometry& g, int64_t n, int64_t p) {
  const int64_t begin = p == 0 ? 0 : g.rows(p).begin;
  const int64_t end = p + 1 == g.P ? g.H : g.rows(p + 1).begin;
  return {(n * g.H + begin) * g.W * g.C, (n * g.H + end) * g.W * g.C};
}

// Calls pixel(size, g, window of dx) for each window. dx is cleared first where windows leave
// pixels out.
template <class T, class Pixel>
CK_INLINE void scatter(const Call& call, const PoolGeometry& geometry, const Through<T>& through,
                       const Pixel& pixel) {
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
    for_windows<K>(call, geometry, dx, clear, pixel, finish);
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

template <class T, class Index>
CK_INLINE void max_backward(const Call& call) {
  const PoolGeometry geometry(call[3], call[0], call.as<Pool2dParams>());
  const T* const dy = call[0].as<T>();
  const Index* const argmax = call[1].as<Index>();
  const Through<T> through(geometry.k, call[2], call[3]);
  choose_lanes<T>(geometry.C, [&]<int L>(Const<L>) {
    using V = VecOf<T, L>;
    using I = VecOf<IntOf<T>, L>;
    const auto spread = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<T>& a) {
      const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
      const int64_t width = K ? K : g.k.window_w;
      for_channels<L>(g.C, [&](int64_t c) {
        const V value = load<L>(dy + a.o + c);
        const I winner = load_winners<T, L>(argmax + a.o + c);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < columns; ++j) {
            const I here = I{} + static_cast<IntOf<T>>(a.first + i * width + j);
            store<L>(a.image + (i * g.W + j) * g.C + c, winner == here ? value : V{});
          }
        }
      });
    };
    const auto collect = [=](const PoolGeometry& g, int64_t h, int64_t w, Span ps, Span qs,
                             int64_t o, T* to) {
      for_channel_groups<L>(g.C, [&]<int U>(Const<U>, int64_t c) {
        V sum[U] = {};
        for (int64_t p = ps.begin; p < ps.end; ++p) {
          for (int64_t q = qs.begin; q < qs.end; ++q) {
            const int64_t at = o + (p * g.Q + q) * g.C + c;
            const int64_t position = (h - g.top(p)) * g.k.window_w + w - g.left(q);
            const I here = I{} + static_cast<IntOf<T>>(position);
            for (int u = 0; u < U; ++u) {
              const I winner = load_winners<T, L>(argmax + at + u * L);
              sum[u] += winner == here ? load<L>(dy + at + u * L) : V{};
            }
          }
        }
        for (int u = 0; u < U; ++u) store<L>(to + c + u * L, sum[u]);
      });
    };
    if (disjoint(geometry)) {
      scatter(call, geometry, through, spread);
    } else {
      gather(call, geometry, through, collect);
    }
  });
}

}  // namespace

void pool2d_simd_max_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (!call[2].present()) {
      max_forward<T, false, uint8_t>(call);
    } else if (call[2].dtype == Dtype::uint8) {
      max_forward<T, true, uint8_t>(call);
    } else {
      max_forward<T, true, int32_t>(call);
    }
  });
}

void pool2d_simd_max_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (call[1].dtype == Dtype::uint8) {
      max_backward<T, uint8_t>(call);
    } else {
      max_backward<T, int32_t>(call);
    }
  });
}

void pool2d_simd_average_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry geometry(call[0], call[1], call.as<Pool2dParams>());
    T* const y = call[1].as<T>();
    choose_lanes<T>(geometry.C, [&]<int L>(Const<L>) {
      const auto pixel = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<const T>& a) {
        const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
        const T inverse = T(1) / static_cast<T>(K ? K * K : a.count);
        for_channels<L>(g.C, [&](int64_t c) {
          VecOf<T, L> sum = {};
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < columns; ++j) {
              sum += load<L>(a.image + (i * g.W + j) * g.C + c);
            }
          }
          store<L>(y + a.o + c, sum * inverse);
        });
      };
      choose_window<T, true>(geometry.k, [&]<int K>(Const<K>) {
        for_windows<K>(call, geometry, call[0].as<const T>(), nothing, pixel, nothing);
      });
    });
  });
}

void pool2d_simd_average_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry geometry(call[2], call[0], call.as<Pool2dParams>());
    const T* const dy = call[0].as<T>();
    const Through<T> through(geometry.k, call[1], call[2]);
    const T full = T(1) / static_cast<T>(geometry.k.window_h * geometry.k.window_w);
    choose_lanes<T>(geometry.C, [&]<int L>(Const<L>) {
      const auto spread = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<T>& a) {
        const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
        const T inverse = K ? full : T(1) / static_cast<T>(a.count);
        for_channels<L>(g.C, [&](int64_t c) {
          const auto value = load<L>(dy + a.o + c) * inverse;
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < columns; ++j) {
              store<L>(a.image + (i * g.W + j) * g.C + c, value);
            }
          }
        });
      };
      const auto collect = [=](const PoolGeometry& g, int64_t, int64_t, Span ps, Span qs, int64_t o,
                               T* to) {
        // Windows that all lie inside the image have one share.
        const bool inside = g.top(ps.begin) >= 0 && g.left(qs.begin) >= 0 &&
                            g.top(ps.end - 1) + g.k.window_h <= g.H &&
                            g.left(qs.end - 1) + g.k.window_w <= g.W;
        for_channel_groups<L>(g.C, [&]<int U>(Const<U>, int64_t c) {
          VecOf<T, L> sum[U] = {};
          for (int64_t p = ps.begin; p < ps.end; ++p) {
            for (int64_t q = qs.begin; q < qs.end; ++q) {
              const T inverse =
                  inside ? full : T(1) / static_cast<T>(g.count(g.rows(p), g.columns(q)));
              const T* from = dy + o + (p * g.Q + q) * g.C + c;
              for (int u = 0; u < U; ++u) sum[u] += load<L>(from + u * L) * inverse;
            }
          }
          for (int u = 0; u < U; ++u) store<L>(to + c + u * L, sum[u]);
        });
      };
      if (disjoint(geometry)) {
        scatter(call, geometry, through, spread);
      } else {
        gather(call, geometry, through, collect);
      }
    });
  });
}

}  // namespace convkit::CK_ISA
