// transpose: the axes of an array in another order.
//
//   forward  x [S0,..,Sr-1] -> y [S_axis0, .., S_axis(r-1)],   1 <= r <= 6
//
//   y[i0,..,ir-1] = x[j0,..,jr-1],  j_axis(k) = i_k
//
// axis0 .. axis5 are a permutation of 0 .. 5, with axis_k = k for k >= r. The gradient is forward
// with the inverse permutation.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct TransposeParams {
  int64_t axis0, axis1, axis2, axis3, axis4, axis5;
};

CK_DECLARE_KERNEL(transpose_naive)
CK_DECLARE_KERNEL(transpose_blocked)

}  // namespace convkit
