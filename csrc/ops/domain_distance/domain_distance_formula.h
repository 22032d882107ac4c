// The scratch memory of a call and the kernels of mmd, on any device.
#pragma once

#include "core/libm.h"
#include "ops/domain_distance/domain_distance.h"

namespace convkit::CK_ISA {

// Both domains' rows in double, one below the other, and the scratch memory behind them.
struct Job {
  int64_t n, m, d, rows;
  DomainDistanceParams params;
  double* z;       // [rows, d]
  double* matrix;  // coral [d, d], mmd [rows, rows]
  double* sums;    // one for each row of the matrix

  CK_INLINE explicit Job(const convkit::Call& call)
      : n(call[0].rows()),
        m(call[1].rows()),
        d(call[0].last()),
        rows(n + m),
        params(call.as<DomainDistanceParams>()),
        z(reinterpret_cast<double*>(call.workspace)),
        matrix(z + rows * d),
        sums(matrix + side() * side()) {}

  CK_INLINE bool coral() const {
    return params.kind == static_cast<int64_t>(DomainDistanceKind::coral);
  }
  CK_INLINE int64_t side() const { return coral() ? d : rows; }
  CK_INLINE int64_t bytes() const {
    return (rows * d + side() * side() + side()) * int64_t{sizeof(double)};
  }

  // Of a row: one over the rows of its domain, negative for the second.
  CK_INLINE double share(int64_t row) const {
    return row < n ? 1.0 / static_cast<double>(n) : -1.0 / static_cast<double>(m);
  }
  // Of a row in its domain's covariance, with the same signs.
  CK_INLINE double weight(int64_t row) const {
    const int64_t of = row < n ? n : m;
    const double one = 1.0 / static_cast<double>(of > 1 ? of - 1 : 1);
    return row < n ? one : -one;
  }
  // Of mmd, from the sum of all squared distances.
  CK_INLINE double width(double distances) const {
    if (params.width != 0 || rows < 2) return params.width;
    return distances / (static_cast<double>(rows) * static_cast<double>(rows - 1));
  }
  // Of coral: the factor of gradients; of the sum of squares, a quarter of it.
  CK_INLINE double by() const {
    return params.scale / (static_cast<double>(d) * static_cast<double>(d));
  }
};

// The mean of the kernels and its derivative by the squared distance. All kernels but the widest
// are squares of the one before.
struct Gaussian {
  double value, slope;
};

CK_INLINE Gaussian gaussian(double squared, double s, int64_t kernels) {
  if (s == 0) return {1, 0};
  double width = s;
  for (int64_t q = 0; q < (kernels - 1) / 2; ++q) width *= 2;
  double e = libm::exp(-squared / width), value = 0, slope = 0;
  for (int64_t q = 0; q < kernels; ++q, e *= e, width /= 2) {
    value += e;
    slope -= e / width;
  }
  return {value / static_cast<double>(kernels), slope / static_cast<double>(kernels)};
}

}  // namespace convkit::CK_ISA
