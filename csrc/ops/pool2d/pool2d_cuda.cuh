// A thread makes one output, or four of neighbouring channels: forward that of a window, backward
// that of a pixel, which gathers from the windows it is in. Every number is read and written once,
// except where windows overlap, and nothing is added up by two threads.
#pragma once

#include "cuda/index.cuh"
#include "cuda/pack.cuh"
#include "ops/activation/activation_formula.h"
#include "ops/pool2d/pool2d_geometry.h"

namespace convkit::cuda::pool2d {

// A pixel of an image of a x b, and the first of some channels.
struct Place {
  int64_t n, a, b, c;

  CK_DEVICE Place(int64_t i, int64_t height, int64_t width, int64_t channels, int values) {
    c = take_index(i, quotient(channels, values)) * values;
    b = take_index(i, width);
    a = take_index(i, height);
    n = i;
  }
};

// ---- forward: thread i makes values of a window

template <class T, class Index, int kValues>
struct MaxForward {
  PoolGeometry g;
  const T* x;
  T* y;
  Index* argmax;  // null: not wanted

  CK_DEVICE void operator()(int64_t i) const {
    const Place at(i, g.P, g.Q, g.C, kValues);
    const Span rows = g.rows(at.a), columns = g.columns(at.b);
    Pack<T, kValues> best = {};
    Pack<Index, kValues> winner = {};
    bool first = true;
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      const T* from = x + ((at.n * g.H + h) * g.W + columns.begin) * g.C + at.c;
      int64_t position = (h - g.top(at.a)) * g.k.window_w + columns.begin - g.left(at.b);
      for (int64_t w = columns.begin; w < columns.end; ++w, from += g.C, ++position) {
        const auto value = load<kValues>(from);
        CK_UNROLL
        for (int v = 0; v < kValues; ++v) {
          // The first NaN wins: nothing beats it, not even another.
          if (!first && (best.v[v] != best.v[v] || value.v[v] <= best.v[v])) continue;
          best.v[v] = value.v[v];
          winner.v[v] = static_cast<Index>(position);
        }
        first = false;
      }
    }
    store(y + i * kValues, best);
    if (argmax) store(argmax + i * kValues, winner);
  }
};

template <class T, int kValues>
struct AverageForward {
  PoolGeometry g;
  const T* x;
  T* y;

  CK_DEVICE void operator()(int64_t i) const {
    const Place at(i, g.P, g.Q, g.C, kValues);
    const Span rows = g.rows(at.a), columns = g.columns(at.b);
    Pack<T, kValues> sum = {};
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      const T* from = x + ((at.n * g.H + h) * g.W + columns.begin) * g.C + at.c;
      for (int64_t w = columns.begin; w < columns.end; ++w, from += g.C) {
        const auto value = load<kValues>(from);
        CK_UNROLL
        for (int v = 0; v < kValues; ++v) sum.v[v] += value.v[v];
      }
    }
    const T count = static_cast<T>(g.count(rows, columns));
    CK_UNROLL
    for (int v = 0; v < kValues; ++v) sum.v[v] /= count;
    store(y + i * kValues, sum);
  }
};

// ---- backward: thread i makes values of a pixel

// The windows along an axis that hold position `at`.
CK_DEVICE Span windows_of(int64_t at, int64_t pad, int64_t window, int64_t stride, int64_t count) {
  const int64_t from = at + pad, end = quotient(from, stride) + 1;
  return {from < window ? 0 : quotient(from - window, stride) + 1, end < count ? end : count};
}

// f(p, q, where the window's values begin) for the windows that hold a pixel, in order.
template <class F>
CK_DEVICE void for_windows_of(const PoolGeometry& g, const Place& at, const F& f) {
  const Span p = windows_of(at.a, g.k.pad_top, g.k.window_h, g.k.stride_h, g.P);
  const Span q = windows_of(at.b, g.k.pad_left, g.k.window_w, g.k.stride_w, g.Q);
  for (int64_t i = p.begin; i < p.end; ++i)
    for (int64_t j = q.begin; j < q.end; ++j) f(i, j, ((at.n * g.P + i) * g.Q + j) * g.C + at.c);
}

// The end of both: dx = sum f'(x). dx may be x.
template <class T, int kValues>
CK_DEVICE void store_through(const PoolGeometry& g, Pack<T, kValues> sum, const T* x, int64_t i,
                             T* dx) {
  const auto kind = static_cast<Activation>(g.k.through);
  if (kind != Activation::linear) {
    const auto value = load<kValues>(x + i * kValues);
    CK_UNROLL
    for (int v = 0; v < kValues; ++v)
      sum.v[v] *=
          activate_derivative_from_output(kind, static_cast<T>(g.k.through_alpha), value.v[v]);
  }
  store(dx + i * kValues, sum);
}

template <class T, class Index, int kValues>
struct MaxBackward {
  PoolGeometry g;
  const T* dy;
  const Index* argmax;
  const T* x;
  T* dx;

  CK_DEVICE void operator()(int64_t i) const {
    const Place at(i, g.H, g.W, g.C, kValues);
    Pack<T, kValues> sum = {};
    for_windows_of(g, at, [&](int64_t p, int64_t q, int64_t from) {
      const auto own = static_cast<Index>((at.a - g.top(p)) * g.k.window_w + (at.b - g.left(q)));
      const auto winner = load<kValues>(argmax + from);
      const auto value = load<kValues>(dy + from);
      CK_UNROLL
      for (int v = 0; v < kValues; ++v)
        if (winner.v[v] == own) sum.v[v] += value.v[v];
    });
    store_through(g, sum, x, i, dx);
  }
};

template <class T, int kValues>
struct AverageBackward {
  PoolGeometry g;
  const T *dy, *x;
  T* dx;

  CK_DEVICE void operator()(int64_t i) const {
    const Place at(i, g.H, g.W, g.C, kValues);
    Pack<T, kValues> sum = {};
    for_windows_of(g, at, [&](int64_t p, int64_t q, int64_t from) {
      const T count = static_cast<T>(g.count(g.rows(p), g.columns(q)));
      const auto value = load<kValues>(dy + from);
      CK_UNROLL
      for (int v = 0; v < kValues; ++v) sum.v[v] += value.v[v] / count;
    });
    store_through(g, sum, x, i, dx);
  }
};

}  // namespace convkit::cuda::pool2d
