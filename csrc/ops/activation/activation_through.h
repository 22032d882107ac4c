// The end of a backward pass whose op's input x is what an activation gave: the gradient dx goes
// through that activation, too, while its rows are in the cache. For kernel sources only
// (core/isa.h).
#pragma once

#include "ops/activation/activation_apply.h"

namespace convkit::CK_ISA {

// dx[i] *= f'(from x[i]), i < n.
template <class T>
void apply_derivative(Activation kind, double alpha, const T* x, int64_t n, T* dx) {
  with_derivative_from_output<T>(kind, alpha, [=](const auto& derivative) {
    using V = Vec<T>;
    int64_t i = 0;
    for (; i + V::kLanes <= n; i += V::kLanes) {
      (V::loadu(dx + i) * derivative(V::loadu(x + i))).storeu(dx + i);
    }
    const int rest = static_cast<int>(n - i);
    if (rest == 0) return;
    const V d = derivative(V::load_partial(x + i, rest));
    (V::load_partial(dx + i, rest) * d).store_partial(dx + i, rest);
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
    if (*this) apply_derivative(kind, alpha, x + begin, n, dx + begin);
  }
  // Rows of n values each, ld apart.
  CK_INLINE void operator()(int64_t begin, int64_t rows, int64_t n, int64_t ld) const {
    if (n == ld) return (*this)(begin, rows * n);
    for (int64_t r = 0; r < rows; ++r) (*this)(begin + r * ld, n);
  }
};

}  // namespace convkit::CK_ISA
