// The sizes of a pool2d call and the part of each window that lies in the image.
#pragma once

#include "ops/pool2d/pool2d.h"

namespace convkit::CK_ISA {

struct Span {
  int64_t begin, end;
  CK_INLINE int64_t size() const { return end - begin; }
};

struct PoolGeometry {
  int64_t N, H, W, C, P, Q;
  Pool2dParams k;

  CK_INLINE PoolGeometry(const Tensor& x, const Tensor& y, const Pool2dParams& params)
      : N(x.shape[0]),
        H(x.shape[1]),
        W(x.shape[2]),
        C(x.shape[3]),
        P(y.shape[1]),
        Q(y.shape[2]),
        k(params) {}

  // Where window row p (window column q) begins; negative in the padding.
  CK_INLINE int64_t top(int64_t p) const { return p * k.stride_h - k.pad_top; }
  CK_INLINE int64_t left(int64_t q) const { return q * k.stride_w - k.pad_left; }
  CK_INLINE Span rows(int64_t p) const { return clip(top(p), k.window_h, H); }
  CK_INLINE Span columns(int64_t q) const { return clip(left(q), k.window_w, W); }

  // What an average divides by.
  CK_INLINE int64_t count(Span rows, Span columns) const {
    return k.count_include_pad ? k.window_h * k.window_w : rows.size() * columns.size();
  }

 private:
  CK_INLINE static Span clip(int64_t begin, int64_t window, int64_t size) {
    return {begin > 0 ? begin : 0, begin + window < size ? begin + window : size};
  }
};

}  // namespace convkit::CK_ISA
