// augment: NHWC images mirrored, shifted, zoomed, turned or cropped at random, each in its own way.
//
//   forward   x [N,H,W,C]   -> y [N,P,Q,C]     P = H, Q = W but for crop: crop_h, crop_w
//   backward  dy [N,P,Q,C]  -> dx [N,H,W,C]
//
// Pixel (p, q) of image n comes from the point (h, w) of x:
//
//   h = (a p + b q) + c,  w = (d p + e q) + f
//
// Image n has the numbers r = height_low + (height_high - height_low) u and, unless `same` is set
// and s is r, s = width_low + (width_high - width_low) v, with u and v the elements 2n and 2n + 1
// of philox_uniform(seed, stream, step, .), seed and step from the step block. By kind (what is not
// named is as in y = x: a = e = 1, b = c = d = f = 0):
//
//   flip    r >= 1/2: a = -1, c = H-1;  s >= 1/2: e = -1, f = W-1
//   shift   c = -H r, f = -W s             down and to the right, in parts of the image
//   zoom    a = 1 + r, c = (H-1)/2 (1-a);  e = 1 + s, f = (W-1)/2 (1-e): positive numbers shrink
//   rotate  by 2 pi r about the middle, counter-clockwise
//   crop    c = floor((H-P+1) r), f = floor((W-Q+1) s), at most H-P and W-Q
//
// nearest takes the pixel floor(h + 1/2), floor(w + 1/2); bilinear the four around the point with
// weights 1 - |h - i|, 1 - |w - j|, and reads none of weight 0. Pixels outside of x are, by
// fill_mode, fill_value (constant), the nearest (nearest), mirrored at the edge with the last pixel
// twice (reflect) or those of the other side (wrap). These are Keras's definitions.
//
// Everything up to the weights is in double and without fused multiply-adds (CMakeLists.txt), so
// that NumPy and every ISA choose the same pixels.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class AugmentKind : int64_t { flip, shift, zoom, rotate, crop };
constexpr const char* kAugmentKindNames[] = {"flip", "shift", "zoom", "rotate", "crop"};

enum class FillMode : int64_t { constant, nearest, reflect, wrap };
constexpr const char* kFillModeNames[] = {"constant", "nearest", "reflect", "wrap"};

struct AugmentParams {
  int64_t kind;  // an AugmentKind
  double height_low, height_high, width_low, width_high;
  int64_t same;            // 1: s is r
  int64_t crop_h, crop_w;  // 0 but for crop
  int64_t interpolation;   // an Interpolation of upsample2d.h
  int64_t fill_mode;       // a FillMode
  double fill_value;
  int64_t stream;  // tells the augmentations of a model apart
};

// Workspace of augment_rows_forward for one image: a table of the columns of y, then a row of x
// with one more pixel, which holds the fill value.
constexpr int64_t kAugmentColumnBytes = 32;
CK_INLINE int64_t augment_image_bytes(const Tensor& x, const Tensor& y) {
  return round_up(y.shape[2] * kAugmentColumnBytes, 64) +
         round_up((x.shape[2] + 1) * x.shape[3] * static_cast<int64_t>(sizeof(double)), 64);
}

CK_DECLARE_KERNEL(augment_naive_forward)
CK_DECLARE_KERNEL(augment_naive_backward)
CK_DECLARE_KERNEL(augment_rows_forward)
CK_DECLARE_KERNEL(augment_rows_backward)

}  // namespace convkit
