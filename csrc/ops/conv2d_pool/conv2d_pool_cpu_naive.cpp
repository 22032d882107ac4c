// conv2d_pool, the obvious loops. z is computed anew for every window that it is in.
#include "ops/activation/activation_through.h"
#include "ops/conv2d_pool/conv2d_pool_rows.h"

namespace convkit::CK_ISA {
namespace {

// Calls f(n, p, q, o) for every window; o is where its outputs begin.
template <class F>
CK_INLINE void for_windows(const PoolGeometry& g, const F& f) {
  for (int64_t n = 0; n < g.N; ++n)
    for (int64_t p = 0; p < g.P; ++p)
      for (int64_t q = 0; q < g.Q; ++q) f(n, p, q, ((n * g.P + p) * g.Q + q) * g.C);
}

// Calls f(index in x, index in w) for each product in z[n, p, q, k].
template <class F>
CK_INLINE void for_products(const Conv2dShape& s, const Conv2dPoolParams& params, int64_t n,
                            int64_t p, int64_t q, int64_t k, const F& f) {
  const int64_t C = s.C / params.groups, first = k / (s.K / params.groups) * C;
  for (int64_t i = 0; i < s.KH; ++i) {
    const int64_t h = p * params.stride_h - params.pad_top + i * params.dilation_h;
    if (h < 0 || h >= s.H) continue;
    for (int64_t j = 0; j < s.KW; ++j) {
      const int64_t v = q * params.stride_w - params.pad_left + j * params.dilation_w;
      if (v < 0 || v >= s.W) continue;
      for (int64_t c = 0; c < C; ++c) {
        f(((n * s.H + h) * s.W + v) * s.C + first + c, ((i * s.KW + j) * C + c) * s.K + k);
      }
    }
  }
}

// Calls f(dy f'(y), n, p, q, k) for every window's winner z[n, p, q, k].
template <class T, class F>
CK_INLINE void for_winners(const PoolGeometry& g, const Conv2dPoolParams& params, const T* dy,
                           const T* y, const uint8_t* winner, const F& f) {
  const auto kind = static_cast<Activation>(params.activation);
  for_windows(g, [&](int64_t n, int64_t p, int64_t q, int64_t o) {
    for (int64_t k = 0; k < g.C; ++k) {
      const T dz = dy[o + k] * activate_derivative_from_output(kind, T(params.alpha), y[o + k]);
      f(dz, n, g.top(p) + winner[o + k] / params.window_w,
        g.left(q) + winner[o + k] % params.window_w, k);
    }
  });
}

template <class T>
CK_INLINE void clear(const Tensor& x) {
  for (int64_t i = 0; i < x.size(); ++i) x.as<T>()[i] = 0;
}

}  // namespace

void conv2d_pool_naive_forward(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[0], call[1], params);
  const PoolGeometry g = conv2d_pool_geometry(s, call[3], params);
  const auto kind = static_cast<Activation>(params.activation);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[0].as<T>();
    const T* const w = call[1].as<T>();
    const T* const b = call[2].as<T>();
    T* const y = call[3].as<T>();
    uint8_t* const winner = call[4].as<uint8_t>();
    for_windows(g, [&](int64_t n, int64_t p, int64_t q, int64_t o) {
      const Span rows = g.rows(p), columns = g.columns(q);
      for (int64_t k = 0; k < s.K; ++k) {
        T best = 0;
        int64_t position = -1;
        for (int64_t r = rows.begin; r < rows.end; ++r) {
          for (int64_t c = columns.begin; c < columns.end; ++c) {
            T sum = b != nullptr ? b[k] : T(0);
            for_products(s, params, n, r, c, k,
                         [&](int64_t from, int64_t at) { sum += x[from] * w[at]; });
            const T value = activate(kind, T(params.alpha), sum);
            // The first NaN wins: nothing beats it, not even another.
            if (position < 0 || (best == best && !(value <= best))) {
              best = value;
              position = (r - g.top(p)) * params.window_w + (c - g.left(q));
            }
          }
        }
        y[o + k] = best;
        if (winner != nullptr) winner[o + k] = static_cast<uint8_t>(position);
      }
    });
  });
}

void conv2d_pool_naive_backward_input(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[5], call[1], params);
  const PoolGeometry g = conv2d_pool_geometry(s, call[0], params);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const w = call[1].as<T>();
    T* const dx = call[5].as<T>();
    clear<T>(call[5]);
    for_winners(g, params, call[0].as<T>(), call[2].as<T>(), call[3].as<uint8_t>(),
                [&](T dz, int64_t n, int64_t p, int64_t q, int64_t k) {
                  for_products(s, params, n, p, q, k,
                               [&](int64_t to, int64_t at) { dx[to] += dz * w[at]; });
                });
    Through<T>(params, call[4], call[5])(0, call[5].size());
  });
}

void conv2d_pool_naive_backward_weight(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[1], call[4], params);
  const PoolGeometry g = conv2d_pool_geometry(s, call[0], params);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[1].as<T>();
    T* const dw = call[4].as<T>();
    T* const db = call[5].as<T>();
    clear<T>(call[4]);
    for (int64_t k = 0; k < s.K && db != nullptr; ++k) db[k] = 0;
    for_winners(g, params, call[0].as<T>(), call[2].as<T>(), call[3].as<uint8_t>(),
                [&](T dz, int64_t n, int64_t p, int64_t q, int64_t k) {
                  for_products(s, params, n, p, q, k,
                               [&](int64_t from, int64_t at) { dw[at] += dz * x[from]; });
                  if (db != nullptr) db[k] += dz;
                });
  });
}

}  // namespace convkit::CK_ISA
