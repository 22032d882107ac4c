// concatenate: joins any number of arrays along one axis.
//
//   forward   x1, x2, ... -> y       the operands are x1 ... xn, y
//   backward  dy -> dx1, dx2, ...    the operands are dy, dx1 ... dxn
#pragma once

#include "core/kernel.h"

namespace convkit {

struct ConcatenateParams {
  int64_t axis;  // >= 0
};

CK_DECLARE_KERNEL(concatenate_naive_forward)
CK_DECLARE_KERNEL(concatenate_naive_backward)

}  // namespace convkit
