#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d.h"

namespace convkit::CK_ISA {
namespace {

// Calls f(pixel of x, pixel of y, tap) for every tap of every output pixel that lies in the image,
// in the order of y.
template <class F>
CK_INLINE void for_each_tap(const Conv2dShape& s, const Conv2dParams& params, const F& f) {
  for (int64_t m = 0; m < s.N * s.P * s.Q; ++m) {
    const int64_t n = m / (s.P * s.Q), p = m / s.Q % s.P, q = m % s.Q;
    for (int64_t i = 0; i < s.KH; ++i) {
      const int64_t h = p * params.stride_h - params.pad_top + i * params.dilation_h;
      if (h < 0 || h >= s.H) continue;
      for (int64_t j = 0; j < s.KW; ++j) {
        const int64_t v = q * params.stride_w - params.pad_left + j * params.dilation_w;
        if (v >= 0 && v < s.W) f((n * s.H + h) * s.W + v, m, i * s.KW + j);
      }
    }
  }
}

}  // namespace

void conv2d_naive_forward(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const int64_t G = params.groups, C = s.C / G, K = s.K / G;
  const auto kind = static_cast<Activation>(params.activation);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[0].as<T>();
    const T* const w = call[1].as<T>();
    const T* const b = call[2].as<T>();
    T* const y = call[3].as<T>();
    const int64_t size = s.N * s.P * s.Q * s.K;
    for (int64_t i = 0; i < size; ++i) y[i] = b != nullptr ? b[i % s.K] : T(0);
    for_each_tap(s, params, [&](int64_t from, int64_t to, int64_t tap) {
      for (int64_t c = 0; c < s.C; ++c) {
        const int64_t g = c / C;
        const T value = x[from * s.C + c];
        const T* const row = w + (tap * C + c % C) * s.K + g * K;
        for (int64_t k = 0; k < K; ++k) y[to * s.K + g * K + k] += value * row[k];
      }
    });
    for (int64_t i = 0; i < size; ++i) y[i] = activate(kind, T(params.alpha), y[i]);
  });
}

void conv2d_naive_backward_input(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[3], call[1], call[0]);
  const int64_t G = params.groups, C = s.C / G, K = s.K / G;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const w = call[1].as<T>();
    T* const dx = call[3].as<T>();
    for (int64_t i = 0; i < s.N * s.H * s.W * s.C; ++i) dx[i] = 0;
    for_each_tap(s, params, [&](int64_t to, int64_t from, int64_t tap) {
      for (int64_t c = 0; c < s.C; ++c) {
        const int64_t g = c / C;
        const T* const row = w + (tap * C + c % C) * s.K + g * K;
        T sum = 0;
        for (int64_t k = 0; k < K; ++k) sum += dy[from * s.K + g * K + k] * row[k];
        dx[to * s.C + c] += sum;
      }
    });
    Through<T>(params, call[2], call[3])(0, s.N * s.H * s.W * s.C);
  });
}

void conv2d_naive_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  const int64_t G = params.groups, C = s.C / G, K = s.K / G;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const x = call[1].as<T>();
    T* const dw = call[2].as<T>();
    T* const db = call[3].as<T>();
    for (int64_t i = 0; i < s.KH * s.KW * C * s.K; ++i) dw[i] = 0;
    for_each_tap(s, params, [&](int64_t from, int64_t at, int64_t tap) {
      for (int64_t c = 0; c < s.C; ++c) {
        const int64_t g = c / C;
        const T value = x[from * s.C + c];
        T* const row = dw + (tap * C + c % C) * s.K + g * K;
        for (int64_t k = 0; k < K; ++k) row[k] += value * dy[at * s.K + g * K + k];
      }
    });
    for (int64_t k = 0; k < s.K && db != nullptr; ++k) {
      db[k] = 0;
      for (int64_t m = 0; m < s.N * s.P * s.Q; ++m) db[k] += dy[m * s.K + k];
    }
  });
}

}  // namespace convkit::CK_ISA
