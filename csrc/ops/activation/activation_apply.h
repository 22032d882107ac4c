// The formulas of the activations: one value at a time for naive kernels, and over a contiguous
// run, vectorised, for kernels that fuse an activation into what they write.
//
// hard_sigmoid is clip((x + 3) / 6, 0, 1); step is 1 above 0, else 0; gelu is the exact form;
// scaled_tanh is 1.7159 tanh(2x/3), for which f(1) = 1 and f(-1) = -1 (LeCun et al. 1998,
// appendix A).
#pragma once

#include "ops/activation/activation.h"
#include "simd/math.h"

namespace convkit::CK_ISA {

constexpr double kSeluScale = 1.0507009873554805;
constexpr double kSeluAlpha = 1.6732632423543772;
constexpr double kTanhScale = 1.7159;
constexpr double kTanhSlope = 2.0 / 3.0;

// The C library's functions by overload; those of <cmath> are inline and may be emitted (isa.h).
namespace libm {
CK_INLINE float exp(float x) { return __builtin_expf(x); }
CK_INLINE double exp(double x) { return __builtin_exp(x); }
CK_INLINE float expm1(float x) { return __builtin_expm1f(x); }
CK_INLINE double expm1(double x) { return __builtin_expm1(x); }
CK_INLINE float log(float x) { return __builtin_logf(x); }
CK_INLINE double log(double x) { return __builtin_log(x); }
CK_INLINE float log1p(float x) { return __builtin_log1pf(x); }
CK_INLINE double log1p(double x) { return __builtin_log1p(x); }
CK_INLINE float tanh(float x) { return __builtin_tanhf(x); }
CK_INLINE double tanh(double x) { return __builtin_tanh(x); }
CK_INLINE float erf(float x) { return __builtin_erff(x); }
CK_INLINE double erf(double x) { return __builtin_erf(x); }
CK_INLINE float erfc(float x) { return __builtin_erfcf(x); }
CK_INLINE double erfc(double x) { return __builtin_erfc(x); }
CK_INLINE float abs(float x) { return __builtin_fabsf(x); }
CK_INLINE double abs(double x) { return __builtin_fabs(x); }
}  // namespace libm

// Neither exp overflows: the argument is never positive.
template <class T>
CK_INLINE T logistic(T x) {
  const T e = libm::exp(-libm::abs(x));
  return (x < 0 ? e : T(1)) / (T(1) + e);
}

template <class T>
CK_INLINE T clip(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;  // in this form NaN comes through
}

// f(x).
template <class T>
T activate(Activation kind, T alpha, T x) {
  switch (kind) {
    case Activation::linear:
      return x;
    case Activation::relu:
      return x < 0 ? T(0) : x;
    case Activation::leaky_relu:
      return x < 0 ? alpha * x : x;
    case Activation::sigmoid:
      return logistic(x);
    case Activation::tanh:
      return libm::tanh(x);
    case Activation::scaled_tanh:
      return T(kTanhScale) * libm::tanh(T(kTanhSlope) * x);
    case Activation::hardtanh:
      return clip(x, T(-1), T(1));
    case Activation::hard_sigmoid:
      return clip(x + T(3), T(0), T(6)) / T(6);
    case Activation::elu:
      return x < 0 ? alpha * libm::expm1(x) : x;
    case Activation::selu:
      return T(kSeluScale) * (x < 0 ? T(kSeluAlpha) * libm::expm1(x) : x);
    case Activation::softplus:
      return (x < 0 ? T(0) : x) + libm::log1p(libm::exp(-libm::abs(x)));
    case Activation::softsign:
      return x / (T(1) + libm::abs(x));
    case Activation::gelu:  // erfc: 1 + erf(x) cancels for x << 0
      return T(0.5) * x * libm::erfc(x * T(-0.70710678118654752));
    case Activation::silu:
      return x * logistic(x);
    case Activation::exponential:
      return libm::exp(x);
    case Activation::step:
      return x > 0 ? T(1) : x <= 0 ? T(0) : x;
  }
  return x;
}

// f'(x) given x. For a NaN it is NaN, except that step has derivative 0 everywhere and the
// piecewise linear kinds give one of their slopes.
template <class T>
T activate_derivative_from_input(Activation kind, T alpha, T x) {
  switch (kind) {
    case Activation::linear:
      return T(1);
    case Activation::relu:
      return x > 0 ? T(1) : T(0);
    case Activation::leaky_relu:
      return x > 0 ? T(1) : alpha;
    case Activation::sigmoid: {
      const T s = logistic(x);
      return s * (T(1) - s);
    }
    case Activation::tanh: {
      const T t = libm::tanh(x);
      return T(1) - t * t;
    }
    case Activation::scaled_tanh: {
      const T t = libm::tanh(T(kTanhSlope) * x);
      return T(kTanhScale * kTanhSlope) * (T(1) - t * t);
    }
    case Activation::hardtanh:
      return x > T(-1) && x < T(1) ? T(1) : T(0);
    case Activation::hard_sigmoid:
      return x > T(-3) && x < T(3) ? T(1) / T(6) : T(0);
    case Activation::elu:
      return x > 0 ? T(1) : alpha * libm::exp(x);
    case Activation::selu:
      return T(kSeluScale) * (x > 0 ? T(1) : T(kSeluAlpha) * libm::exp(x));
    case Activation::softplus:
      return logistic(x);
    case Activation::softsign: {
      const T d = T(1) / (T(1) + libm::abs(x));
      return d * d;
    }
    case Activation::gelu:
      return T(0.5) * libm::erfc(x * T(-0.70710678118654752)) +
             x * T(0.39894228040143268) * libm::exp(T(-0.5) * x * x);
    case Activation::silu: {
      const T s = logistic(x);
      return s + x * s * (T(1) - s);
    }
    case Activation::exponential:
      return libm::exp(x);
    case Activation::step:
      return T(0);
  }
  return T(1);
}

// f'(x) given y = f(x), for the kinds of from_output. A clipped y does not tell x = 1 from x > 1:
// there the derivative is 0.
template <class T>
T activate_derivative_from_output(Activation kind, T alpha, T y) {
  switch (kind) {
    case Activation::relu:
      return y > 0 ? T(1) : T(0);
    case Activation::leaky_relu:
      return y > 0 ? T(1) : alpha;
    case Activation::sigmoid:
      return y * (T(1) - y);
    case Activation::tanh:
      return T(1) - y * y;
    case Activation::scaled_tanh:
      return T(kTanhSlope / kTanhScale) * (T(kTanhScale) - y) * (T(kTanhScale) + y);
    case Activation::hardtanh:
      return y > T(-1) && y < T(1) ? T(1) : T(0);
    case Activation::hard_sigmoid:
      return y > T(0) && y < T(1) ? T(1) / T(6) : T(0);
    case Activation::elu:
      return y > 0 ? T(1) : y + alpha;
    case Activation::selu:
      return y > 0 ? T(kSeluScale) : y + T(kSeluScale * kSeluAlpha);
    case Activation::softplus:
      return -libm::expm1(-y);
    case Activation::softsign: {
      const T d = T(1) - libm::abs(y);
      return d * d;
    }
    case Activation::exponential:
      return y;
    case Activation::step:
      return T(0);
    case Activation::linear:
    case Activation::gelu:
    case Activation::silu:
      break;
  }
  return T(1);
}

// Calls body(f) with the vectorised formula of a kind: f(Vec<T>) -> Vec<T>.
template <class T, class Body>
CK_INLINE void with_activation(Activation kind, double alpha, const Body& body) {
  using V = Vec<T>;
  const V zero = V::zero();
  const V slope = T(alpha);
  switch (kind) {
    case Activation::linear:
      return body([](V x) { return x; });
    case Activation::relu:
      return body([=](V x) { return max_or_second(zero, x); });
    case Activation::leaky_relu:
      return body([=](V x) { return select(x < zero, slope * x, x); });
    case Activation::sigmoid:
      return body([](V x) { return sigmoid(x); });
    case Activation::tanh:
      return body([](V x) { return tanh(x); });
    case Activation::scaled_tanh:
      return body([](V x) { return T(kTanhScale) * tanh(T(kTanhSlope) * x); });
    case Activation::hardtanh:
      return body([](V x) { return min_or_second(V(T(1)), max_or_second(V(T(-1)), x)); });
    case Activation::hard_sigmoid:
      return body(
          [=](V x) { return min_or_second(V(T(6)), max_or_second(zero, x + T(3))) / T(6); });
    case Activation::elu:
      return body([=](V x) { return select(x < zero, slope * expm1(x), x); });
    case Activation::selu:
      return body(
          [=](V x) { return T(kSeluScale) * select(x < zero, T(kSeluAlpha) * expm1(x), x); });
    case Activation::softplus:
      return body([](V x) { return softplus(x); });
    case Activation::softsign:
      return body([](V x) { return x / (T(1) + abs(x)); });
    case Activation::gelu:
      return body([](V x) { return T(0.5) * x * (T(1) + erf(x * T(0.70710678118654752))); });
    case Activation::silu:
      return body([](V x) { return x * sigmoid(x); });
    case Activation::exponential:
      return body([](V x) { return exp(x); });
    case Activation::step:
      return body([=](V x) { return select(x > zero, V(T(1)), select(x <= zero, zero, x)); });
  }
}

// Calls body(d) with the vectorised derivative given y: d(Vec<T>) -> Vec<T>. The formulas, NaN
// included, are those of activate_derivative_from_output.
template <class T, class Body>
CK_INLINE void with_derivative_from_output(Activation kind, double alpha, const Body& body) {
  using V = Vec<T>;
  const V zero = V::zero(), one = T(1), slope = T(alpha);
  switch (kind) {
    case Activation::relu:
      return body([=](V y) { return select(y > zero, one, zero); });
    case Activation::leaky_relu:
      return body([=](V y) { return select(y > zero, one, slope); });
    case Activation::sigmoid:
      return body([=](V y) { return y * (one - y); });
    case Activation::tanh:
      return body([=](V y) { return fma(-y, y, one); });
    case Activation::scaled_tanh:
      return body([](V y) {
        return T(kTanhSlope / kTanhScale) * (T(kTanhScale) - y) * (T(kTanhScale) + y);
      });
    case Activation::hardtanh:
      return body([=](V y) { return select((y > V(T(-1))) & (y < one), one, zero); });
    case Activation::hard_sigmoid:
      return body([=](V y) { return select((y > zero) & (y < one), V(T(1) / T(6)), zero); });
    case Activation::elu:
      return body([=](V y) { return select(y > zero, one, y + slope); });
    case Activation::selu:
      return body(
          [=](V y) { return select(y > zero, V(T(kSeluScale)), y + T(kSeluScale * kSeluAlpha)); });
    case Activation::softplus:
      return body([](V y) { return -expm1(-y); });
    case Activation::softsign:
      return body([=](V y) {
        const V d = one - abs(y);
        return d * d;
      });
    case Activation::exponential:
      return body([](V y) { return y; });
    case Activation::step:
      return body([=](V) { return zero; });
    case Activation::linear:
    case Activation::gelu:
    case Activation::silu:
      return body([=](V) { return one; });
  }
}

// y[0..n) = f(y[0..n)).
template <class T>
void apply_activation(Activation kind, double alpha, T* y, int64_t n) {
  if (kind == Activation::linear) return;
  with_activation<T>(kind, alpha, [=](const auto& f) {
    using V = Vec<T>;
    int64_t i = 0;
    for (; i + V::kLanes <= n; i += V::kLanes) f(V::loadu(y + i)).storeu(y + i);
    const int rest = static_cast<int>(n - i);
    if (rest > 0) f(V::load_partial(y + i, rest)).store_partial(y + i, rest);
  });
}

// Adds b (null: none) to each row of y [rows, n], whose rows are ld apart, and applies f.
template <class T>
void apply_bias_activation(const T* b, Activation kind, double alpha, T* y, int64_t rows, int64_t n,
                           int64_t ld) {
  if (b != nullptr) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < n; ++i) y[r * ld + i] += b[i];
    }
  }
  if (n == ld) return apply_activation(kind, alpha, y, rows * n);
  for (int64_t r = 0; r < rows; ++r) apply_activation(kind, alpha, y + r * ld, n);
}

}  // namespace convkit::CK_ISA
