// The derivative of a penalty and its total, on any device.
#pragma once

#include "ops/penalty/penalty.h"

namespace convkit::CK_ISA {

template <class T>
struct Slopes {
  T l1, l2;  // scale * l1, 2 * scale * l2

  CK_INLINE explicit Slopes(const PenaltyParams& p)
      : l1(static_cast<T>(p.scale * p.l1)), l2(static_cast<T>(2 * p.scale * p.l2)) {}

  // A factor of 0 must not touch x: 0 * x is NaN for an infinite x. NaN passes on.
  CK_INLINE T operator()(T x) const {
    const T sign = x > 0 ? l1 : x < 0 ? -l1 : x;
    return l2 != 0 ? sign + l2 * x : sign;
  }
};

CK_INLINE double total_penalty(const PenaltyParams& p, double absolute, double squares) {
  const double lasso = p.l1 != 0 ? p.l1 * absolute : 0;
  const double ridge = p.l2 != 0 ? p.l2 * squares : 0;
  return p.scale * (lasso + ridge);
}

}  // namespace convkit::CK_ISA
