// Where the pixels of an augmented image come from. For kernel sources only (core/isa.h).
#pragma once

#include "core/libm.h"
#include "core/philox.h"
#include "ops/augment/augment.h"
#include "ops/upsample2d/upsample2d.h"

namespace convkit::CK_ISA {

struct AugmentMap {
  double a = 1, b = 0, c = 0, d = 0, e = 1, f = 0;

  CK_INLINE double row(int64_t p, int64_t q) const {
    return (a * static_cast<double>(p) + b * static_cast<double>(q)) + c;
  }
  CK_INLINE double column(int64_t p, int64_t q) const {
    return (d * static_cast<double>(p) + e * static_cast<double>(q)) + f;
  }
  CK_INLINE bool keeps_axes() const { return b == 0 && d == 0; }
};

// Heights and widths of x and y.
struct AugmentSizes {
  int64_t H, W, P, Q;
  CK_INLINE AugmentSizes(const Tensor& x, const Tensor& y)
      : H(x.shape[1]), W(x.shape[2]), P(y.shape[1]), Q(y.shape[2]) {}
};

// The map of image n, from x to y.
CK_INLINE AugmentMap augment_map(const AugmentParams& params, const StepBlock& step,
                                 const AugmentSizes& sizes, int64_t n) {
  const auto draw = [&](uint64_t i) {
    return static_cast<double>(philox_uniform(step.seed, static_cast<uint32_t>(params.stream),
                                              static_cast<uint64_t>(step.step), i));
  };
  const uint64_t i = 2 * static_cast<uint64_t>(n);
  const double r = params.height_low + (params.height_high - params.height_low) * draw(i);
  const double s =
      params.same ? r : params.width_low + (params.width_high - params.width_low) * draw(i + 1);
  const double H = static_cast<double>(sizes.H), W = static_cast<double>(sizes.W);
  AugmentMap m;
  switch (static_cast<AugmentKind>(params.kind)) {
    case AugmentKind::flip:
      if (r >= 0.5) m.a = -1, m.c = H - 1;
      if (s >= 0.5) m.e = -1, m.f = W - 1;
      break;
    case AugmentKind::shift:
      m.c = -(H * r);
      m.f = -(W * s);
      break;
    case AugmentKind::zoom:
      m.a = 1 + r;
      m.e = 1 + s;
      m.c = (H - 1) / 2 * (1 - m.a);
      m.f = (W - 1) / 2 * (1 - m.e);
      break;
    case AugmentKind::rotate: {
      const double angle = 6.283185307179586 * r;
      const double cosine = libm::cos(angle), sine = libm::sin(angle);
      m.a = m.e = cosine;
      m.b = sine;
      m.d = -sine;
      m.c = ((H - 1) - (sine * (W - 1) + cosine * (H - 1))) / 2;
      m.f = ((W - 1) - (cosine * (W - 1) - sine * (H - 1))) / 2;
      break;
    }
    case AugmentKind::crop: {
      const double rows = H - static_cast<double>(sizes.P);
      const double columns = W - static_cast<double>(sizes.Q);
      m.c = r < 1 ? libm::floor((rows + 1) * r) : rows;
      m.f = s < 1 ? libm::floor((columns + 1) * s) : columns;
      break;
    }
  }
  return m;
}

// Two pixels of an axis and their weights; -1: outside. If high is 0 the second is not read.
struct AugmentTap {
  int64_t first, second;
  double low, high;
};

// What stands at i of an axis of n pixels.
CK_INLINE int64_t augment_inside(int64_t i, int64_t n, FillMode mode) {
  if (0 <= i && i < n) return i;
  switch (mode) {
    case FillMode::constant:
      return -1;
    case FillMode::nearest:
      return i < 0 ? 0 : n - 1;
    case FillMode::wrap:
      i %= n;
      return i < 0 ? i + n : i;
    default:
      i %= 2 * n;
      if (i < 0) i += 2 * n;
      return i < n ? i : 2 * n - 1 - i;
  }
}

CK_INLINE AugmentTap augment_tap(const AugmentParams& params, double at, int64_t n) {
  const FillMode mode = static_cast<FillMode>(params.fill_mode);
  if (static_cast<Interpolation>(params.interpolation) == Interpolation::nearest) {
    const int64_t i = augment_inside(static_cast<int64_t>(libm::floor(at + 0.5)), n, mode);
    return {i, i, 1, 0};
  }
  const double floor = libm::floor(at);
  const int64_t i = static_cast<int64_t>(floor);
  const int64_t first = augment_inside(i, n, mode);
  if (at == floor) return {first, first, 1, 0};
  return {first, augment_inside(i + 1, n, mode), 1 - (at - floor), at - floor};
}

// f(p, q, row tap, column tap) for each pixel of y.
template <class F>
CK_INLINE void each_augmented(const Call& call, const Tensor& x, const Tensor& y, int64_t n,
                              const F& f) {
  const AugmentParams& params = call.as<AugmentParams>();
  const AugmentMap map = augment_map(params, *call.step, AugmentSizes(x, y), n);
  for (int64_t p = 0; p < y.shape[1]; ++p)
    for (int64_t q = 0; q < y.shape[2]; ++q)
      f(p, q, augment_tap(params, map.row(p, q), x.shape[1]),
        augment_tap(params, map.column(p, q), x.shape[2]));
}

// A pixel's C values from an image of x.
template <class T>
CK_INLINE void augment_pixel(const T* image, int64_t W, int64_t C, T fill, const AugmentTap& h,
                             const AugmentTap& w, T* out) {
  const T low = static_cast<T>(w.low), high = static_cast<T>(w.high);
  for (int64_t c = 0; c < C; ++c) {
    const auto at = [&](int64_t i, int64_t j) {
      return i < 0 || j < 0 ? fill : image[(i * W + j) * C + c];
    };
    const auto across = [&](int64_t i) {
      return high == 0 ? at(i, w.first) : low * at(i, w.first) + high * at(i, w.second);
    };
    out[c] = h.high == 0 ? across(h.first)
                         : static_cast<T>(h.low) * across(h.first) +
                               static_cast<T>(h.high) * across(h.second);
  }
}

// Image n, pixel by pixel.
template <class T>
CK_INLINE void augment_image(const Call& call, int64_t n) {
  const Tensor &x = call[0], &y = call[1];
  const int64_t W = x.shape[2], C = x.shape[3], Q = y.shape[2];
  const T fill = static_cast<T>(call.as<AugmentParams>().fill_value);
  const T* const image = x.as<T>() + n * x.shape[1] * W * C;
  T* const out = y.as<T>() + n * y.shape[1] * Q * C;
  each_augmented(call, x, y, n,
                 [&](int64_t p, int64_t q, const AugmentTap& h, const AugmentTap& w) {
                   augment_pixel(image, W, C, fill, h, w, out + (p * Q + q) * C);
                 });
}

// The gradient of image n: every pixel of dy goes to those that it came from.
template <class T>
CK_INLINE void augment_image_backward(const Call& call, int64_t n) {
  const Tensor &dy = call[0], &dx = call[1];
  const int64_t H = dx.shape[1], W = dx.shape[2], C = dx.shape[3], Q = dy.shape[2];
  const T* const from = dy.as<T>() + n * dy.shape[1] * Q * C;
  T* const image = dx.as<T>() + n * H * W * C;
  for (int64_t i = 0; i < H * W * C; ++i) image[i] = 0;
  each_augmented(call, dx, dy, n,
                 [&](int64_t p, int64_t q, const AugmentTap& h, const AugmentTap& w) {
                   const auto give = [&](int64_t i, double a, int64_t j, double b) {
                     if (i < 0 || j < 0 || a == 0 || b == 0) return;
                     const T weight = static_cast<T>(a * b);
                     for (int64_t c = 0; c < C; ++c)
                       image[(i * W + j) * C + c] += weight * from[(p * Q + q) * C + c];
                   };
                   give(h.first, h.low, w.first, w.low);
                   give(h.first, h.low, w.second, w.high);
                   give(h.second, h.high, w.first, w.low);
                   give(h.second, h.high, w.second, w.high);
                 });
}

}  // namespace convkit::CK_ISA
