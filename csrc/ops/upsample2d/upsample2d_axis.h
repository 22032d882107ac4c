// One axis of an upsampling: which elements of x an element of y is made from, and the other way.
#pragma once

#include "ops/upsample2d/upsample2d.h"

namespace convkit::CK_ISA {

// y = low * x[first] + high * x[second].
template <class T>
struct Tap {
  int64_t first, second;
  T low, high;
};

struct Axis {
  int64_t n;     // of x
  int64_t size;  // y has n * size
  bool bilinear;

  // y's element p lies at (2p + 1 - size) / (2 size) in x: a whole part and a rest, both exact, so
  // that each weight is rounded once.
  template <class T>
  CK_INLINE Tap<T> tap(int64_t p) const {
    if (!bilinear) return {p / size, p / size, T(1), T(0)};
    const int64_t numerator = 2 * p + 1 - size;
    const int64_t whole = numerator < 0 ? -1 : numerator / (2 * size);
    return between<T>(whole, numerator - whole * 2 * size);
  }

  // Calls f(p, tap(p)) for every element of y, without divisions of integers.
  template <class T, class F>
  CK_INLINE void each_tap(const F& f) const {
    int64_t whole = bilinear ? -1 : 0, rest = bilinear ? 1 + size : 0;
    for (int64_t p = 0; p < n * size; ++p) {
      f(p, bilinear ? between<T>(whole, rest) : Tap<T>{whole, whole, T(1), T(0)});
      rest += bilinear ? 2 : 1;
      const int64_t full = bilinear ? 2 * size : size;
      if (rest >= full) rest -= full, ++whole;
    }
  }

  template <class T>
  CK_INLINE Tap<T> between(int64_t whole, int64_t rest) const {
    if (whole < 0) return {0, 0, T(1), T(0)};
    if (whole >= n - 1) return {n - 1, n - 1, T(1), T(0)};
    const T full = T(2 * size);
    return {whole, whole + 1, T(2 * size - rest) / full, T(rest) / full};
  }

  // The elements of y that x[i] has a part in: [begin(i), end(i)).
  CK_INLINE int64_t begin(int64_t i) const {
    if (!bilinear) return i * size;
    return i == 0 ? 0 : size * (i - 1) + (size - 1) / 2 + 1;
  }
  CK_INLINE int64_t end(int64_t i) const {
    if (!bilinear) return (i + 1) * size;
    return i == n - 1 ? n * size : size * (i + 1) + size / 2;
  }

  // That part.
  template <class T>
  CK_INLINE T weight(int64_t p, int64_t i) const {
    const Tap<T> t = tap<T>(p);
    return t.first == i ? t.low : t.high;
  }
};

CK_INLINE Axis rows_of(const Tensor& x, const Upsample2dParams& params) {
  return {x.shape[1], params.size_h,
          params.interpolation == static_cast<int64_t>(Interpolation::bilinear)};
}
CK_INLINE Axis columns_of(const Tensor& x, const Upsample2dParams& params) {
  return {x.shape[2], params.size_w,
          params.interpolation == static_cast<int64_t>(Interpolation::bilinear)};
}

}  // namespace convkit::CK_ISA
