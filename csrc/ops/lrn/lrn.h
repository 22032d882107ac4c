// lrn: local response normalization (Krizhevsky, Sutskever and Hinton 2012, section 3.3).
//
//   forward   x [..., C]                -> y [..., C]
//   backward  dy [..., C], x [..., C]   -> dx [..., C]
//
//   d = k + a sum of x^2 over a window,  y = x d^-beta
//   dx = dy d^-beta - 2 a beta x sum of (dy x d^(-beta - 1)) over all whose window holds x
//
// The window of across_channels is `size` channels at one place; that of within_channel, size x
// size pixels of one channel of x [N, H, W, C] (as in Caffe). It begins size / 2 before its centre,
// ends (size - 1) / 2 behind it, and counts nothing outside. a is alpha or, with alpha_per = size,
// alpha divided by the window's size: size channels, or size^2 pixels. x^2 must not overflow.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct LrnParams {
  int64_t size;
  double alpha, beta, k;  // alpha >= 0, beta >= 0, k > 0
  int64_t alpha_per;
  int64_t norm_region;
};

enum class LrnAlphaPer : int64_t { sum, size };
constexpr const char* kLrnAlphaPer[] = {"sum", "size"};
enum class LrnRegion : int64_t { across_channels, within_channel };
constexpr const char* kLrnRegions[] = {"across_channels", "within_channel"};

// What is added of a window before and behind its centre, along an axis of n values.
struct LrnReach {
  int64_t before, behind;
  CK_INLINE LrnReach(int64_t size, int64_t n)
      : before(size / 2 < n ? size / 2 : n - (n > 0)),
        behind((size - 1) / 2 < n ? (size - 1) / 2 : n - (n > 0)) {}
  CK_INLINE int64_t most() const { return before > behind ? before : behind; }
};

CK_INLINE bool lrn_within(const LrnParams& p) {
  return p.norm_region == static_cast<int64_t>(LrnRegion::within_channel);
}

CK_INLINE double lrn_factor(const LrnParams& p) {
  if (p.alpha_per == static_cast<int64_t>(LrnAlphaPer::sum)) return p.alpha;
  const double size = static_cast<double>(p.size);
  return p.alpha / (lrn_within(p) ? size * size : size);
}

CK_DECLARE_KERNEL(lrn_naive_forward)
CK_DECLARE_KERNEL(lrn_naive_backward)
CK_DECLARE_KERNEL(lrn_simd_forward)
CK_DECLARE_KERNEL(lrn_simd_backward)

}  // namespace convkit
