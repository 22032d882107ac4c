#include "simd/peak.h"

#include "simd/vec.h"

namespace convkit::CK_ISA {

double fma_burst(int64_t iterations) {
  // Twelve chains hide a latency of four cycles at two instructions a cycle, with some to spare.
  using V = Vec<float>;
  V a[12];
  for (int i = 0; i < 12; ++i) a[i] = V::broadcast(static_cast<float>(i));
  const V x = V::broadcast(0.999f);
  const V y = V::broadcast(1e-3f);
  for (int64_t n = 0; n < iterations; ++n) {
    for (int i = 0; i < 12; ++i) a[i] = fma(a[i], x, y);
    // Keeps the compiler from seeing that the chains converge.
    asm volatile("" : : : "memory");
  }
  double total = 0;
  for (int i = 0; i < 12; ++i) total += reduce_sum(a[i]);
  return total;
}

}  // namespace convkit::CK_ISA
