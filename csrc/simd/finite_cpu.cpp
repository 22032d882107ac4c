#include "simd/finite.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {
namespace {

// x * 0 is NaN for NaN and infinity and 0 for all others, and a sum remembers it. (The modes of
// rounding and of denormals do not matter, and nothing overflows.)
template <class T>
bool finite(const T* x, int64_t n) {
  using V = Vec<T>;
  const V zero = V::zero();
  V a = zero, b = zero, c = zero, d = zero;
  int64_t i = 0;
  for (; i + 4 * V::kLanes <= n; i += 4 * V::kLanes) {
    a = fma(V::loadu(x + i), zero, a);
    b = fma(V::loadu(x + i + V::kLanes), zero, b);
    c = fma(V::loadu(x + i + 2 * V::kLanes), zero, c);
    d = fma(V::loadu(x + i + 3 * V::kLanes), zero, d);
  }
  T rest = 0;
  for (; i < n; ++i) rest += x[i] * T(0);
  return reduce_sum((a + b) + (c + d)) + rest == T(0);
}

}  // namespace

bool all_finite(const NumberRun& run) {
  return run.dtype == Dtype::float64 ? finite(static_cast<const double*>(run.data), run.n)
                                     : finite(static_cast<const float*>(run.data), run.n);
}

}  // namespace convkit::CK_ISA
