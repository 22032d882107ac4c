// pad2d: zeros around NHWC images, and, the other way round, images without their border.
//
//   forward   x [N,H,W,C]   -> y [N,P,Q,C]      y = x with zeros around it
//   backward  dy [N,P,Q,C]  -> dx [N,H,W,C]     dx = dy without its border
//
//   P = H + pad_top + pad_bottom, Q = W + pad_left + pad_right.
//
// Each is the gradient of the other, so that backward is also what crops images.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct Pad2dParams {
  int64_t pad_top, pad_bottom, pad_left, pad_right;
};

CK_DECLARE_KERNEL(pad2d_naive_forward)
CK_DECLARE_KERNEL(pad2d_naive_backward)
CK_DECLARE_KERNEL(pad2d_rows_forward)
CK_DECLARE_KERNEL(pad2d_rows_backward)

}  // namespace convkit
