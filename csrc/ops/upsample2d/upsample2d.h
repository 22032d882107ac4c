// upsample2d: NHWC images size_h times as high and size_w times as wide.
//
//   forward   x [N,H,W,C]   -> y [N,P,Q,C]     P = H*size_h, Q = W*size_w
//   backward  dy [N,P,Q,C]  -> dx [N,H,W,C]
//
//   nearest   y[n,p,q,c] = x[n, p/size_h, q/size_w, c]
//   bilinear  y[n,p,q,c] = sum_{h,w} a(p,h) b(q,w) x[n,h,w,c], where row p of y lies at
//             u = (p + 1/2) / size_h - 1/2 between the rows of x (half-pixel centres, as in Keras
//             and in PyTorch with align_corners=False), a(p,h) = max(1 - |u - h|, 0) for u clipped
//             to [0, H-1]; b likewise.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class Interpolation : int64_t { nearest, bilinear };
constexpr const char* kInterpolationNames[] = {"nearest", "bilinear"};

struct Upsample2dParams {
  int64_t size_h, size_w;
  int64_t interpolation;  // an Interpolation
};

CK_DECLARE_KERNEL(upsample2d_naive_forward)
CK_DECLARE_KERNEL(upsample2d_naive_backward)
CK_DECLARE_KERNEL(upsample2d_simd_forward)
CK_DECLARE_KERNEL(upsample2d_simd_backward)

}  // namespace convkit
