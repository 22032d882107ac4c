// pool2d with vectors along the channels.
//
// The last vector of a pixel reaches back to end with the pixel instead of being cut short, so some
// values are computed twice. That is why nothing here adds to memory: every result is finished in
// registers and stored. Fewer channels than a register holds take a narrower vector.
//
// Backward, windows that do not overlap write their own part of the image (scatter); where they do
// overlap, every image pixel collects from its windows in their order (gather). Both divide the
// image by rows, and no row has two writers.
#include <cstring>

#include "ops/pool2d/pool2d_geometry.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {
namespace {

constexpr int64_t kChunk = 32768;  // values read or written by a chunk

template <class T>
using IntOf = typename raw::Types<T>::IntLane;

template <class T, int L>
struct Lanes {
  typedef T Type __attribute__((vector_size(L * sizeof(T))));
};
template <class T, int L>
using VecOf = typename Lanes<T, L>::Type;

template <class V, class T>
CK_INLINE V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T, class V>
CK_INLINE void store(T* p, V v) {
  std::memcpy(p, &v, sizeof v);
}

// Calls f(c) for vectors of L lanes that cover the channels [0, C), L <= C.
template <int L, class F>
CK_INLINE void for_channels(int64_t C, const F& f) {
  for (int64_t c = 0; c < C; c += L) f(c < C - L ? c : C - L);
}

template <int N>
struct Const {
  static constexpr int value = N;
};

// Calls f(lanes, window): the lanes for C channels and the window's size if it is one of the usual
// ones (2: 2x2, 3: 3x3, 0: any other), so that its loops unroll.
template <class T, class F>
CK_INLINE void specialise(const PoolGeometry& g, const F& f) {
  constexpr int kFull = kVecBytes / sizeof(T);
  const auto with_lanes = [&]<int L>(Const<L> lanes) {
    const bool square = g.k.window_h == g.k.window_w && sizeof(T) == 4;
    if (square && g.k.window_h == 2) return f(lanes, Const<2>{});
    if (square && g.k.window_h == 3) return f(lanes, Const<3>{});
    f(lanes, Const<0>{});
  };
  if (g.C >= kFull) return with_lanes(Const<kFull>{});
  if constexpr (kVecBytes == 64) {
    if (g.C >= kFull / 2) return with_lanes(Const<kFull / 2>{});
  }
  if constexpr (kVecBytes >= 32) {
    if (g.C >= int{16 / sizeof(T)}) return with_lanes(Const<16 / sizeof(T)>{});
  }
  if (g.C > 0) with_lanes(Const<1>{});
}

// One window in memory: its part in the image and its position there.
template <class T>
struct Window {
  const T* x;         // the first pixel in the image
  int64_t row_pitch;  // values between two rows
  int64_t C;
  int64_t rows, columns;
  int64_t first, position_pitch;  // the first pixel's position, positions between two rows
};

template <int L, int K, class T>
CK_INLINE void average_pixel(const Window<T>& a, T inverse, T* y) {
  using V = VecOf<T, L>;
  const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
  for_channels<L>(a.C, [&](int64_t c) {
    V sum = {};
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) sum += load<V>(a.x + i * a.row_pitch + j * a.C + c);
    }
    store(y + c, sum * inverse);
  });
}

template <int L, int K, bool kWinner, class Index, class T>
CK_INLINE void max_pixel(const Window<T>& a, T* y, Index* argmax) {
  using V = VecOf<T, L>;
  using I = VecOf<IntOf<T>, L>;
  const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
  for_channels<L>(a.C, [&](int64_t c) {
    V best = load<V>(a.x + c);
    I winner = I{} + static_cast<IntOf<T>>(a.first);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        if (i == 0 && j == 0) continue;
        const V value = load<V>(a.x + i * a.row_pitch + j * a.C + c);
        const I position = I{} + static_cast<IntOf<T>>(a.first + i * a.position_pitch + j);
        // Not <= instead of >, so that a NaN wins; after it, best == best is false.
        const I better = ~(I)(value <= best) & (I)(best == best);
        best = better ? value : best;
        if constexpr (kWinner) winner = better ? position : winner;
      }
    }
    store(y + c, best);
    if constexpr (kWinner) store(argmax + c, __builtin_convertvector(winner, VecOf<Index, L>));
  });
}

// Calls pixel(window size, window, rows in the image, columns in the image, o) for each output
// pixel; o is where its values begin.
template <int K, class T, class F>
CK_INLINE void for_output_pixels(const Call& call, const PoolGeometry& g, const T* x,
                                 const F& pixel) {
  const int64_t row_reads = g.Q * g.C * g.k.window_h * g.k.window_w;
  const Chunks chunks{g.N * g.P, row_reads < kChunk ? kChunk / (row_reads > 0 ? row_reads : 1) : 1};
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / g.P, p = r % g.P;
      const Span rows = g.rows(p);
      for (int64_t q = 0; q < g.Q; ++q) {
        const Span columns = g.columns(q);
        const int64_t first = (rows.begin - g.top(p)) * g.k.window_w + columns.begin - g.left(q);
        const Window<T> a = {x + ((n * g.H + rows.begin) * g.W + columns.begin) * g.C,
                             g.W * g.C,
                             g.C,
                             rows.size(),
                             columns.size(),
                             first,
                             g.k.window_w};
        if (K && a.rows == K && a.columns == K) {
          pixel(Const<K>{}, a, rows, columns, (r * g.Q + q) * g.C);
        } else {
          pixel(Const<0>{}, a, rows, columns, (r * g.Q + q) * g.C);
        }
      }
    }
  });
}

template <class T, bool kWinner, class Index>
CK_INLINE void max_forward(const Call& call) {
  const PoolGeometry g(call[0], call[1], call.as<Pool2dParams>());
  const T* x = call[0].as<T>();
  T* y = call[1].as<T>();
  Index* argmax = call[2].as<Index>();
  specialise<T>(g, [&]<int L, int K>(Const<L>, Const<K>) {
    for_output_pixels<K>(call, g, x,
                         [&]<int Kw>(Const<Kw>, const Window<T>& a, Span, Span, int64_t o) {
                           max_pixel<L, Kw, kWinner>(a, y + o, kWinner ? argmax + o : nullptr);
                         });
  });
}

// Whether no pixel lies in two windows, and whether every pixel lies in one.
CK_INLINE bool disjoint(const PoolGeometry& g) {
  return g.k.stride_h >= g.k.window_h && g.k.stride_w >= g.k.window_w;
}
CK_INLINE bool exact(const PoolGeometry& g) {
  return g.k.pad_top == 0 && g.k.pad_left == 0 && g.H == g.P * g.k.window_h &&
         g.W == g.Q * g.k.window_w;
}

// Calls pixel(window size, dx at the window's first pixel, rows, columns, o) for each window. dx is
// cleared first where windows leave pixels out.
template <int K, class T, class F>
CK_INLINE void scatter(const Call& call, const PoolGeometry& g, T* dx, const F& pixel) {
  const int64_t pitch = g.W * g.C, band = pitch * g.k.stride_h;
  const Chunks chunks{g.N * g.P, band < kChunk ? kChunk / (band > 0 ? band : 1) : 1};
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / g.P, p = r % g.P;
      T* image = dx + n * g.H * pitch;
      const Span rows = g.rows(p);
      if (!exact(g)) {
        const int64_t begin = p == 0 ? 0 : rows.begin;
        const int64_t end = p + 1 == g.P ? g.H : g.rows(p + 1).begin;
        std::memset(image + begin * pitch, 0, (end - begin) * pitch * sizeof(T));
      }
      for (int64_t q = 0; q < g.Q; ++q) {
        const Span columns = g.columns(q);
        T* to = image + rows.begin * pitch + columns.begin * g.C;
        if (K && rows.size() == K && columns.size() == K) {
          pixel(Const<K>{}, to, p, q, rows, columns, (r * g.Q + q) * g.C);
        } else {
          pixel(Const<0>{}, to, p, q, rows, columns, (r * g.Q + q) * g.C);
        }
      }
    }
  });
}

// Calls pixel(h, w, window rows, window columns, n * P * Q * C, dx) for each pixel of the image:
// the windows that it lies in.
template <class T, class F>
CK_INLINE void gather(const Call& call, const PoolGeometry& g, T* dx, const F& pixel) {
  const int64_t row_reads =
      g.W * g.C * ceil_div(g.k.window_h, g.k.stride_h) * ceil_div(g.k.window_w, g.k.stride_w);
  const Chunks chunks{g.N * g.H, row_reads < kChunk ? kChunk / (row_reads > 0 ? row_reads : 1) : 1};
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / g.H, h = r % g.H;
      const int64_t after = (h + g.k.pad_top) / g.k.stride_h + 1;
      const int64_t before = h + g.k.pad_top - g.k.window_h;  // the last row that misses h
      const Span ps = {before < 0 ? 0 : before / g.k.stride_h + 1, after < g.P ? after : g.P};
      Span qs = {0, 0};
      for (int64_t w = 0; w < g.W; ++w) {
        while (qs.end < g.Q && g.left(qs.end) <= w) ++qs.end;
        while (g.left(qs.begin) + g.k.window_w <= w) ++qs.begin;
        pixel(h, w, ps, qs, n * g.P * g.Q * g.C, dx + (r * g.W + w) * g.C);
      }
    }
  });
}

template <class T, class Index>
CK_INLINE void max_backward(const Call& call) {
  const PoolGeometry g(call[2], call[0], call.as<Pool2dParams>());
  const T* dy = call[0].as<T>();
  const Index* argmax = call[1].as<Index>();
  T* dx = call[2].as<T>();
  specialise<T>(g, [&]<int L, int K>(Const<L>, Const<K>) {
    using V = VecOf<T, L>;
    using I = VecOf<IntOf<T>, L>;
    const auto winner_at = [&](int64_t o) {
      return __builtin_convertvector(load<VecOf<Index, L>>(argmax + o), I);
    };
    if (disjoint(g)) {
      scatter<K>(
          call, g, dx,
          [&]<int Kw>(Const<Kw>, T* to, int64_t p, int64_t q, Span rows, Span columns, int64_t o) {
            const int64_t height = Kw ? Kw : rows.size(), width = Kw ? Kw : columns.size();
            const int64_t first =
                (rows.begin - g.top(p)) * g.k.window_w + columns.begin - g.left(q);
            for_channels<L>(g.C, [&](int64_t c) {
              const V value = load<V>(dy + o + c);
              const I winner = winner_at(o + c);
              for (int64_t i = 0; i < height; ++i) {
                for (int64_t j = 0; j < width; ++j) {
                  const I here = I{} + static_cast<IntOf<T>>(first + i * g.k.window_w + j);
                  store(to + (i * g.W + j) * g.C + c, winner == here ? value : V{});
                }
              }
            });
          });
    } else {
      gather(call, g, dx, [&](int64_t h, int64_t w, Span ps, Span qs, int64_t o, T* to) {
        for_channels<L>(g.C, [&](int64_t c) {
          V sum = {};
          for (int64_t p = ps.begin; p < ps.end; ++p) {
            for (int64_t q = qs.begin; q < qs.end; ++q) {
              const int64_t at = o + (p * g.Q + q) * g.C + c;
              const int64_t position = (h - g.top(p)) * g.k.window_w + w - g.left(q);
              const I here = I{} + static_cast<IntOf<T>>(position);
              sum += winner_at(at) == here ? load<V>(dy + at) : V{};
            }
          }
          store(to + c, sum);
        });
      });
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
    const PoolGeometry g(call[0], call[1], call.as<Pool2dParams>());
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    const T full = T(1) / static_cast<T>(g.k.window_h * g.k.window_w);
    specialise<T>(g, [&]<int L, int K>(Const<L>, Const<K>) {
      for_output_pixels<K>(
          call, g, x,
          [&]<int Kw>(Const<Kw>, const Window<T>& a, Span rows, Span columns, int64_t o) {
            const T inverse = Kw ? full : T(1) / static_cast<T>(g.count(rows, columns));
            average_pixel<L, Kw>(a, inverse, y + o);
          });
    });
  });
}

void pool2d_simd_average_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry g(call[1], call[0], call.as<Pool2dParams>());
    const T* dy = call[0].as<T>();
    T* dx = call[1].as<T>();
    const T full = T(1) / static_cast<T>(g.k.window_h * g.k.window_w);
    specialise<T>(g, [&]<int L, int K>(Const<L>, Const<K>) {
      using V = VecOf<T, L>;
      const auto share = [&](Span rows, Span columns) {
        return T(1) / static_cast<T>(g.count(rows, columns));
      };
      if (disjoint(g)) {
        scatter<K>(
            call, g, dx,
            [&]<int Kw>(Const<Kw>, T* to, int64_t, int64_t, Span rows, Span columns, int64_t o) {
              const int64_t height = Kw ? Kw : rows.size(), width = Kw ? Kw : columns.size();
              const T inverse = Kw ? full : share(rows, columns);
              for_channels<L>(g.C, [&](int64_t c) {
                const V value = load<V>(dy + o + c) * inverse;
                for (int64_t i = 0; i < height; ++i) {
                  for (int64_t j = 0; j < width; ++j) store(to + (i * g.W + j) * g.C + c, value);
                }
              });
            });
      } else {
        gather(call, g, dx, [&](int64_t, int64_t, Span ps, Span qs, int64_t o, T* to) {
          // Windows that all lie inside the image have one share.
          const bool inside = g.top(ps.begin) >= 0 && g.left(qs.begin) >= 0 &&
                              g.top(ps.end - 1) + g.k.window_h <= g.H &&
                              g.left(qs.end - 1) + g.k.window_w <= g.W;
          for_channels<L>(g.C, [&](int64_t c) {
            V sum = {};
            for (int64_t p = ps.begin; p < ps.end; ++p) {
              for (int64_t q = qs.begin; q < qs.end; ++q) {
                const T inverse = inside ? full : share(g.rows(p), g.columns(q));
                sum += load<V>(dy + o + (p * g.Q + q) * g.C + c) * inverse;
              }
            }
            store(to + c, sum);
          });
        });
      }
    });
  });
}

}  // namespace convkit::CK_ISA
