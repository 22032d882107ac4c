// The formulas of the activations, one value at a time, on any device.
//
// hard_sigmoid is clip((x + 3) / 6, 0, 1); step is 1 above 0, else 0; gelu is the exact form;
// scaled_tanh is 1.7159 tanh(2x/3), for which f(1) = 1 and f(-1) = -1 (LeCun et al. 1998,
// appendix A).
#pragma once

#include "core/libm.h"
#include "ops/activation/activation.h"

namespace convkit::CK_ISA {

constexpr double kSeluScale = 1.0507009873554805;
constexpr double kSeluAlpha = 1.6732632423543772;
constexpr double kTanhScale = 1.7159;
constexpr double kTanhSlope = 2.0 / 3.0;

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
CK_SCALAR T activate(Activation kind, T alpha, T x) {
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
CK_SCALAR T activate_derivative_from_input(Activation kind, T alpha, T x) {
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
CK_SCALAR T activate_derivative_from_output(Activation kind, T alpha, T y) {
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

}  // namespace convkit::CK_ISA
