// Windows of a call and what they give, on any device.
#pragma once

#include "ops/lrn/lrn.h"

namespace convkit::CK_ISA {

#ifdef __CUDACC__
CK_INLINE float power(float base, float exponent) { return ::powf(base, exponent); }
CK_INLINE double power(double base, double exponent) { return ::pow(base, exponent); }
#else
CK_INLINE float power(float base, float exponent) { return __builtin_powf(base, exponent); }
CK_INLINE double power(double base, double exponent) { return __builtin_pow(base, exponent); }
#endif

template <class T>
struct LrnWindows {
  const T* x;
  LrnParams p;
  int64_t c, height, width;  // the last two where windows are of pixels
  T k, factor, exponent;     // d = k + factor sum x^2,  y = x d^exponent

  CK_INLINE LrnWindows(const Tensor& input, const LrnParams& params)
      : x(input.as<T>()),
        p(params),
        c(input.last()),
        height(lrn_within(params) ? input.shape[1] : 1),
        width(lrn_within(params) ? input.shape[2] : 1),
        k(static_cast<T>(params.k)),
        factor(static_cast<T>(lrn_factor(params))),
        exponent(static_cast<T>(-params.beta)) {}

  // Calls f(j) for every element j of the window of element i. `mirrored`: for every j whose window
  // holds i.
  template <class F>
  CK_INLINE void each(int64_t i, bool mirrored, const F& f) const {
    const int64_t before = mirrored ? (p.size - 1) / 2 : p.size / 2;
    const int64_t behind = p.size - 1 - before;
    if (!lrn_within(p)) {
      const int64_t at = i % c, first = at - before < 0 ? 0 : at - before;
      for (int64_t j = first; j < c && j <= at + behind; ++j) f(i - at + j);
      return;
    }
    const int64_t w = i / c % width, h = i / c / width % height;
    for (int64_t r = h - before < 0 ? 0 : h - before; r < height && r <= h + behind; ++r) {
      for (int64_t q = w - before < 0 ? 0 : w - before; q < width && q <= w + behind; ++q) {
        f(i + ((r - h) * width + q - w) * c);
      }
    }
  }

  CK_INLINE T denominator(int64_t i) const {
    T sum = 0;
    each(i, false, [&](int64_t j) { sum += x[j] * x[j]; });
    return k + factor * sum;
  }
  // What element j, with the gradient dy of its y, gives to the dx of all in its window, and what
  // the sum of that is multiplied by.
  CK_INLINE T given(int64_t j, T dy, T d, T scale) const { return dy * x[j] * scale / d; }
  CK_INLINE T slope(int64_t i) const { return static_cast<T>(2 * lrn_factor(p) * p.beta) * x[i]; }
};

}  // namespace convkit::CK_ISA
