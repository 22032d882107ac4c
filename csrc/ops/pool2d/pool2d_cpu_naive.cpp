// pool2d, the obvious loops.
#include "ops/activation/activation_through.h"
#include "ops/pool2d/pool2d_geometry.h"

namespace convkit::CK_ISA {
namespace {

// Calls f(n, p, q, o) for every window; o is where its outputs begin.
template <class F>
void for_windows(const PoolGeometry& g, const F& f) {
  for (int64_t n = 0; n < g.N; ++n)
    for (int64_t p = 0; p < g.P; ++p)
      for (int64_t q = 0; q < g.Q; ++q) f(n, p, q, ((n * g.P + p) * g.Q + q) * g.C);
}

template <class T>
void clear(T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = 0;
}

template <class T, class Index>
void max_forward(const PoolGeometry& g, const T* x, T* y, Index* argmax) {
  for_windows(g, [&](int64_t n, int64_t p, int64_t q, int64_t o) {
    const Span rows = g.rows(p), columns = g.columns(q);
    for (int64_t c = 0; c < g.C; ++c) {
      T best = 0;
      int64_t winner = -1;
      for (int64_t h = rows.begin; h < rows.end; ++h) {
        for (int64_t w = columns.begin; w < columns.end; ++w) {
          const T value = x[((n * g.H + h) * g.W + w) * g.C + c];
          // The first NaN wins: nothing beats it, not even another.
          if (winner < 0 || (best == best && !(value <= best))) {
            best = value;
            winner = (h - g.top(p)) * g.k.window_w + (w - g.left(q));
          }
        }
      }
      y[o + c] = best;
      if (argmax) argmax[o + c] = static_cast<Index>(winner);
    }
  });
}

template <class T, class Index>
void max_backward(const PoolGeometry& g, const T* dy, const Index* argmax, T* dx) {
  clear(dx, g.N * g.H * g.W * g.C);
  for_windows(g, [&](int64_t n, int64_t p, int64_t q, int64_t o) {
    for (int64_t c = 0; c < g.C; ++c) {
      const int64_t winner = argmax[o + c];
      const int64_t h = g.top(p) + winner / g.k.window_w;
      const int64_t w = g.left(q) + winner % g.k.window_w;
      dx[((n * g.H + h) * g.W + w) * g.C + c] += dy[o + c];
    }
  });
}

}  // namespace

void pool2d_naive_max_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry g(call[0], call[1], call.as<Pool2dParams>());
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    if (call[2].dtype == Dtype::uint8) {
      max_forward(g, x, y, call[2].as<uint8_t>());
    } else {
      max_forward(g, x, y, call[2].as<int32_t>());
    }
  });
}

void pool2d_naive_max_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry g(call[3], call[0], call.as<Pool2dParams>());
    const T* dy = call[0].as<T>();
    T* dx = call[3].as<T>();
    if (call[1].dtype == Dtype::uint8) {
      max_backward(g, dy, call[1].as<uint8_t>(), dx);
    } else {
      max_backward(g, dy, call[1].as<int32_t>(), dx);
    }
    Through<T>(g.k, call[2], call[3])(0, call[3].size());
  });
}

void pool2d_naive_average_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry g(call[0], call[1], call.as<Pool2dParams>());
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    for_windows(g, [&](int64_t n, int64_t p, int64_t q, int64_t o) {
      const Span rows = g.rows(p), columns = g.columns(q);
      const T count = static_cast<T>(g.count(rows, columns));
      for (int64_t c = 0; c < g.C; ++c) {
        T sum = 0;
        for (int64_t h = rows.begin; h < rows.end; ++h)
          for (int64_t w = columns.begin; w < columns.end; ++w)
            sum += x[((n * g.H + h) * g.W + w) * g.C + c];
        y[o + c] = sum / count;
      }
    });
  });
}

void pool2d_naive_average_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry g(call[2], call[0], call.as<Pool2dParams>());
    const T* dy = call[0].as<T>();
    T* dx = call[2].as<T>();
    const Through<T> through(g.k, call[1], call[2]);
    // Each value is written once: dx may take the place of x.
    for (int64_t n = 0; n < g.N; ++n)
      for (int64_t h = 0; h < g.H; ++h)
        for (int64_t w = 0; w < g.W; ++w)
          for (int64_t c = 0; c < g.C; ++c) {
            T sum = 0;
            for (int64_t p = 0; p < g.P; ++p) {
              const Span rows = g.rows(p);
              if (h < rows.begin || h >= rows.end) continue;
              for (int64_t q = 0; q < g.Q; ++q) {
                const Span columns = g.columns(q);
                if (w < columns.begin || w >= columns.end) continue;
                sum += dy[((n * g.P + p) * g.Q + q) * g.C + c] /
                       static_cast<T>(g.count(rows, columns));
              }
            }
            const int64_t at = ((n * g.H + h) * g.W + w) * g.C + c;
            if (through)
              sum *= activate_derivative_from_output(through.kind, T(through.alpha), through.x[at]);
            dx[at] = sum;
          }
  });
}

}  // namespace convkit::CK_ISA
