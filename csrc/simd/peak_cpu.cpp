#include "simd/peak.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {
namespace {

// Makes a value unknown to the compiler without moving it out of its register.
CK_INLINE void hide(Vec<float>& value) {
#if CK_X86_64
  asm volatile("" : "+v"(value.v));
#else
  asm volatile("" : "+w"(value.v));
#endif
}

template <class... V>
CK_INLINE void hide(V&... values) {
  (hide(values), ...);
}

}  // namespace

double fma_burst(int64_t iterations) {
  // Twelve chains hide a latency of four cycles at two instructions a cycle, with some to spare.
  using V = Vec<float>;
  V a0 = V::broadcast(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0;
  V b0 = V::broadcast(1), b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0;
  V x = V::broadcast(0.999f);
  const V y = V::broadcast(1e-3f);
  for (int64_t n = 0; n < iterations; ++n) {
    a0 = fma(a0, x, y), a1 = fma(a1, x, y), a2 = fma(a2, x, y);
    a3 = fma(a3, x, y), a4 = fma(a4, x, y), a5 = fma(a5, x, y);
    b0 = fma(b0, x, y), b1 = fma(b1, x, y), b2 = fma(b2, x, y);
    b3 = fma(b3, x, y), b4 = fma(b4, x, y), b5 = fma(b5, x, y);
    // The chains are equal, which the compiler must not see.
    hide(a0, a1, a2, a3, a4, a5);
    hide(b0, b1, b2, b3, b4, b5);
  }
  const V sum = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (b0 + b1)) + ((b2 + b3) + (b4 + b5));
  return reduce_sum(sum);
}

}  // namespace convkit::CK_ISA
