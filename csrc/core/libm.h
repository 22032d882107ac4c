// The C library's functions of one value by overload, for kernels of any device. Those of <cmath>
// are inline and may be emitted (isa.h).
#pragma once

#include "core/isa.h"

namespace convkit::CK_ISA::libm {

#ifdef __CUDACC__
#define CK_LIBM(name, narrow, wide)                     \
  CK_INLINE float name(float x) { return ::narrow(x); } \
  CK_INLINE double name(double x) { return ::wide(x); }
#else
#define CK_LIBM(name, narrow, wide)                               \
  CK_INLINE float name(float x) { return __builtin_##narrow(x); } \
  CK_INLINE double name(double x) { return __builtin_##wide(x); }
#endif

CK_LIBM(abs, fabsf, fabs)
CK_LIBM(cos, cosf, cos)
CK_LIBM(erf, erff, erf)
CK_LIBM(erfc, erfcf, erfc)
CK_LIBM(exp, expf, exp)
CK_LIBM(expm1, expm1f, expm1)
CK_LIBM(floor, floorf, floor)
CK_LIBM(log, logf, log)
CK_LIBM(log1p, log1pf, log1p)
CK_LIBM(sin, sinf, sin)
CK_LIBM(sqrt, sqrtf, sqrt)
CK_LIBM(tanh, tanhf, tanh)

#undef CK_LIBM

#ifdef __CUDACC__
CK_INLINE double pow(double x, double y) { return ::pow(x, y); }
#else
CK_INLINE double pow(double x, double y) { return __builtin_pow(x, y); }
#endif

}  // namespace convkit::CK_ISA::libm
