#include "ops/lrn/lrn.h"

namespace convkit::CK_ISA {
namespace {

CK_INLINE float power(float base, float exponent) { return __builtin_powf(base, exponent); }
CK_INLINE double power(double base, double exponent) { return __builtin_pow(base, exponent); }

// Calls f(j) for every element j of the window of element i. `mirrored`: for every j whose window
// holds i.
template <class F>
CK_INLINE void for_window(const Tensor& x, const LrnParams& p, int64_t i, bool mirrored,
                          const F& f) {
  const int64_t before = mirrored ? (p.size - 1) / 2 : p.size / 2;
  const int64_t behind = p.size - 1 - before;
  const int64_t c = x.last(), k = i % c;
  if (!lrn_within(p)) {
    for (int64_t j = k - before < 0 ? 0 : k - before; j < c && j <= k + behind; ++j) f(i - k + j);
    return;
  }
  const int64_t height = x.shape[1], width = x.shape[2];
  const int64_t w = i / c % width, h = i / c / width % height;
  for (int64_t r = h - before < 0 ? 0 : h - before; r < height && r <= h + behind; ++r) {
    for (int64_t q = w - before < 0 ? 0 : w - before; q < width && q <= w + behind; ++q) {
      f(i + ((r - h) * width + q - w) * c);
    }
  }
}

template <class T>
T denominator(const Tensor& x, const LrnParams& p, int64_t i) {
  T sum = 0;
  for_window(x, p, i, false, [&](int64_t j) { sum += x.as<T>()[j] * x.as<T>()[j]; });
  return static_cast<T>(p.k) + static_cast<T>(lrn_factor(p)) * sum;
}

}  // namespace

void lrn_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LrnParams& p = call.as<LrnParams>();
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    for (int64_t i = 0; i < call[0].size(); ++i) {
      y[i] = x[i] * power(denominator<T>(call[0], p, i), static_cast<T>(-p.beta));
    }
  });
}

void lrn_naive_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LrnParams& p = call.as<LrnParams>();
    const T* dy = call[0].as<T>();
    const T* x = call[1].as<T>();
    T* dx = call[2].as<T>();
    for (int64_t i = 0; i < call[0].size(); ++i) {
      T sum = 0;
      for_window(call[1], p, i, true, [&](int64_t j) {
        const T d = denominator<T>(call[1], p, j);
        sum += dy[j] * x[j] * power(d, static_cast<T>(-p.beta)) / d;
      });
      const T d = denominator<T>(call[1], p, i);
      dx[i] = dy[i] * power(d, static_cast<T>(-p.beta)) -
              static_cast<T>(2 * lrn_factor(p) * p.beta) * x[i] * sum;
    }
  });
}

}  // namespace convkit::CK_ISA
