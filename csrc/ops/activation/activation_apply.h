// The formulas of the activations over a contiguous run, vectorised, for kernels that fuse an
// activation into what they write.
#pragma once

#include "ops/activation/activation_formula.h"
#include "simd/math.h"

namespace convkit::CK_ISA {

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
