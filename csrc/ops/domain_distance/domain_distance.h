// domain_distance: how far the features of two domains are apart, as a term of a loss.
//
//   forward   a [N,D], b [M,D] -> total [1] float64
//   backward  a [N,D], b [M,D] -> total [1] float64, da [N,D], db [M,D]
//
// coral: the distance of the second-order statistics (Sun and Saenko 2016, Deep CORAL, equation 1),
//   total = scale / (4 D^2) * sum (C_a - C_b)^2
// with the covariances C_a = sum over n of (a_n - mean)(a_n - mean)^T / (N - 1); 0 of a single row.
//
// mmd: the squared maximum mean discrepancy, by its biased estimate (Gretton et al. 2012, equation
// 5), for the mean k of several Gaussian kernels as in Long et al. 2015 (section 3.1),
//   total = scale * (mean k(a,a') + mean k(b,b') - 2 mean k(a,b))
//   k(x,y) = mean over q of exp(-|x - y|^2 / (2^q s)),  q from -(kernels - 1) / 2 to (kernels - 1)
//   / 2
// s is `width` or, where that is 0, the mean squared distance of two different rows of a and b
// together, which the gradient takes to be constant. Where s is 0 all rows are equal and k is 1.
//
// All is computed in double, in an order that the shapes decide.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class DomainDistanceKind : int64_t { coral, mmd };
constexpr const char* kDomainDistanceKinds[] = {"coral", "mmd"};

struct DomainDistanceParams {
  int64_t kind;
  int64_t kernels;  // of mmd: odd
  double width;
  double scale;
};

CK_DECLARE_KERNEL(domain_distance_naive_forward)
CK_DECLARE_KERNEL(domain_distance_naive_backward)
CK_DECLARE_KERNEL(domain_distance_simd_forward)
CK_DECLARE_KERNEL(domain_distance_simd_backward)

}  // namespace convkit
