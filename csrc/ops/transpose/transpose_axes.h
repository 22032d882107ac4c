// Permutations of axes. For kernel sources only (core/isa.h).
#pragma once

#include "ops/transpose/transpose.h"

namespace convkit::CK_ISA {

// The axes of y, slowest first: their sizes and their strides in x and in y.
struct Axes {
  int rank;
  int64_t size[kMaxRank], from[kMaxRank], to[kMaxRank];
};

CK_INLINE Axes axes_of(const Tensor& x, const Tensor& y, const TransposeParams& params) {
  const int64_t order[kMaxRank] = {params.axis0, params.axis1, params.axis2,
                                   params.axis3, params.axis4, params.axis5};
  int64_t strides[kMaxRank + 1] = {};
  strides[x.rank] = 1;
  for (int i = x.rank - 1; i >= 0; --i) strides[i] = strides[i + 1] * x.shape[i];
  Axes axes = {y.rank, {}, {}, {}};
  int64_t to = 1;
  for (int i = y.rank - 1; i >= 0; --i) {
    axes.size[i] = y.shape[i];
    axes.from[i] = strides[order[i] + 1];
    axes.to[i] = to;
    to *= y.shape[i];
  }
  return axes;
}

// The same permutation with as few axes as it needs, one at least.
CK_INLINE Axes joined(const Axes& a) {
  Axes j = {0, {}, {}, {}};
  for (int i = 0; i < a.rank; ++i) {
    if (a.size[i] == 1) continue;
    if (j.rank > 0 && j.from[j.rank - 1] == a.size[i] * a.from[i]) {
      j.size[j.rank - 1] *= a.size[i];
      j.from[j.rank - 1] = a.from[i];
      j.to[j.rank - 1] = a.to[i];
      continue;
    }
    j.size[j.rank] = a.size[i];
    j.from[j.rank] = a.from[i];
    j.to[j.rank] = a.to[i];
    ++j.rank;
  }
  if (j.rank == 0) j = {1, {1}, {1}, {1}};
  return j;
}

// Where element i of an array with these axes lies in x and in y.
struct Place {
  int64_t from, to;
};
CK_INLINE Place place(const Axes& axes, int64_t i) {
  Place at = {0, 0};
  for (int k = axes.rank - 1; k >= 0; --k) {
    at.from += i % axes.size[k] * axes.from[k];
    at.to += i % axes.size[k] * axes.to[k];
    i /= axes.size[k];
  }
  return at;
}

// Takes axis k out.
CK_INLINE int64_t remove_axis(Axes& axes, int k) {
  const int64_t size = axes.size[k];
  for (--axes.rank; k < axes.rank; ++k) {
    axes.size[k] = axes.size[k + 1];
    axes.from[k] = axes.from[k + 1];
    axes.to[k] = axes.to[k + 1];
  }
  return size;
}

CK_INLINE int64_t axes_count(const Axes& axes) {
  int64_t n = 1;
  for (int k = 0; k < axes.rank; ++k) n *= axes.size[k];
  return n;
}

}  // namespace convkit::CK_ISA
