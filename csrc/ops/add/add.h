// add: y = a + b of equal shapes.
//
//   forward  a [...], b [...] -> y [...]     y may be a or b
#pragma once

#include "core/kernel.h"

namespace convkit {

struct AddParams {};

CK_DECLARE_KERNEL(add_naive_forward)
CK_DECLARE_KERNEL(add_simd_forward)

}  // namespace convkit
