// The end of a backward pass whose op's input x is what an activation gave: the gradient dx goes
// through that activation, too, while its rows are in the cache. For kernel sources only
// (core/isa.h).
#pragma once

#include "ops/activation/activation_apply.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {

// to[i] = dy[i] f'(from y[i]), i < n; `to` may be dy or y.
template <class T>
void through_activation(Activation kind, double alpha, const T* dy, const T* y, int64_t n, T* to) {
  with_derivative_from_output<T>(kind, alpha, [=](const auto& derivative) {
    each_vector<T>(n, [=](auto at) { at.store(to, at.load(dy) * derivative(at.load(y))); });
  });
}

// For the operands of a call and its parameters `through` and `through_alpha`; does nothing where
// the activation is linear.
template <class T>
struct Through {
  Activation kind = Activation::linear;
  double alpha = 0;
  const T* x = nullptr;
  T* dx = nullptr;

  CK_INLINE Through() {}
  template <class Params>
  CK_INLINE Through(const Params& params, const Tensor& input, const Tensor& output)
      : kind(static_cast<Activation>(params.through)),
        alpha(params.through_alpha),
        x(input.as<T>()),
        dx(output.as<T>()) {}

  CK_INLINE explicit operator bool() const { return kind != Activation::linear; }

  // n values from `begin` on.
  CK_INLINE void operator()(int64_t begin, int64_t n) const {
    if (*this) through_activation(kind, alpha, dx + begin, x + begin, n, dx + begin);
  }
  // Rows of n values each, ld apart.
  CK_INLINE void operator()(int64_t begin, int64_t rows, int64_t n, int64_t ld) const {
    if (n == ld) return (*this)(begin, rows * n);
    for (int64_t r = 0; r < rows; ++r) (*this)(begin + r * ld, n);
  }
};

}  // namespace convkit::CK_ISA
