// hopfield: neurons of two values, low and high (-1 and 1, or 0 and 1), coupled by symmetric
// weights (Hopfield 1982).
//
//   asynchronous  w [N,N], b [N] or absent, order [L] int64, s [B,N] -> flips [B] int64
//                 s is changed in place: neurons order[0], order[1], ... are updated one after
//                 another, in all B states; 0 <= order < N, in any order and any number of times
//   synchronous   w [N,N], b [N] or absent, s [B,N] -> y [B,N], flips [B] int64
//                 all neurons at once; y and s are apart
//   energy        w [N,N], b [N] or absent, s [B,N] -> e [B] float64
//
//   field   h_i = sum_j w_ij s_j + b_i         (b is minus the threshold of Hopfield 1982)
//   update  s_i = high if h_i > 0, low if h_i < 0, and what it was if h_i is 0 or NaN
//   energy  e = -1/2 sum_ij w_ij s_i s_j - sum_i b_i s_i
//   flips   how many updates changed a value
//
// An asynchronous update changes the energy by -(s_i' - s_i) h_i - w_ii (s_i' - s_i)^2 / 2, so it
// never rises where the diagonal of w is not negative. Fields and energies are sums in the dtype
// of w, the last sum of an energy in double. asynchronous and energy may rely on w = w^T.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct HopfieldParams {
  double low, high;  // low < high
};

CK_DECLARE_KERNEL(hopfield_naive_asynchronous)
CK_DECLARE_KERNEL(hopfield_naive_synchronous)
CK_DECLARE_KERNEL(hopfield_naive_energy)
CK_DECLARE_KERNEL(hopfield_blas_asynchronous)
CK_DECLARE_KERNEL(hopfield_blas_synchronous)
CK_DECLARE_KERNEL(hopfield_blas_energy)

}  // namespace convkit
