// Elementary functions of Vec<float> and Vec<double>.
//
// Vec<float>: branch-free polynomials. The largest error, in units in the last place against
// double-precision libm over all floats (tests/csrc/math_ulp.cpp measures and enforces it):
//
//   function   bound   domain notes
//   exp        2       0 below -104, +inf above 88.72
//   expm1      3       keeps -0
//   sigmoid    3
//   tanh       3       keeps -0; +-1 beyond 9.2
//   log        2       -inf at 0, NaN below
//   log1p      3       -inf at -1, NaN below; keeps -0
//   softplus   3       log(1 + exp(x)), without overflow
//   erf        3       keeps -0; +-1 beyond 4
//
// All: NaN gives NaN, infinities give the limits. Results and arguments below FLT_MIN may be
// flushed to 0 (the pool's threads flush denormals), which leaves an absolute error of FLT_MIN.
// Each ISA meets the same bounds, but bits may differ between ISAs (one rounding less with FMA).
//
// Vec<double>: libm, lane by lane. Double is there to check, not to be fast.
#pragma once

#include "simd/tanh_table.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {

namespace math_detail {

using F = Vec<float>;

// Horner's rule, highest power first.
template <class... C>
CK_INLINE F poly(F x, float highest, C... rest) {
  F p = highest;
  ((p = fma(p, x, F(rest))), ...);
  return p;
}

// 2^n for a whole n in [-126, 127].
CK_INLINE F pow2(F n) { return F::bits((__builtin_convertvector(n.v, F::Int) + 127) << 23); }

// 2^n * x for a whole n in [-252, 254], rounding once unless the result is denormal.
CK_INLINE F scale(F x, F n) {
#if CK_X86_64 && CK_ISA_LEVEL == 2
  return F(_mm512_maskz_scalef_ps(-1, x.v, n.v));
#else
  const F::Int k = __builtin_convertvector(n.v, F::Int);
  const F::Int half = k >> 1;  // 2^n itself may be out of range where the result is not
  return x * F::bits((half + 127) << 23) * F::bits((k - half + 127) << 23);
#endif
}

// Clamps; NaN stays.
CK_INLINE F clamp(F x, float lo, float hi) { return min_or_second(F(hi), max_or_second(F(lo), x)); }

// ln 2 in two parts (Cody and Waite). The first has 15 bits, so that its product with any exponent
// (8 bits) is exact even without FMA.
constexpr float kLn2Hi = 0x1.62e4p-1f;
constexpr float kLn2Lo = 0x1.7f7d1cp-20f;

struct Reduced {
  F n, p;  // x = n ln 2 + r, |r| <= ln(2)/2; p = expm1(r)
};

CK_INLINE Reduced reduce_exp(F x) {
  const F n = round(x * F(0x1.715476p0f));  // 1 / ln 2
  const F r = fma(n, F(-kLn2Lo), fma(n, F(-kLn2Hi), x));
  // Minimax in the error relative to expm1(r): 2.4e-10.
  const F q = poly(r, 0x1.a032dap-13f, 0x1.6d73c0p-10f, 0x1.11118ap-7f, 0x1.5554b0p-5f,
                   0x1.555554p-3f, 0.5f);
  return {n, fma(q, r * r, r)};
}

// log(1 + f) + k ln 2 for f in [-1/3, 1/3], k whole.
CK_INLINE F log_reduced(F f, F k) {
  const F s = f * f;
  // Minimax in the error relative to log(1 + f): 4.6e-9.
  const F q = poly(f, -0x1.081ac8p-3f, 0x1.1e6abcp-3f, -0x1.f30878p-4f, 0x1.1ed660p-3f,
                   -0x1.559e12p-3f, 0x1.99d032p-3f, -0x1.fffef0p-3f, 0x1.555506p-2f);
  // Small terms first: f, the largest of the rest, is added to their sum.
  const F t = fma(s, fma(q, f, F(-0.5f)), k * F(kLn2Lo));
  return fma(k, F(kLn2Hi), f + t);
}

// The exponent k for which x / 2^k is in [2/3, 4/3), as bits to subtract from those of x > 0.
CK_INLINE F::Int exponent_bits(F x) { return (x.bits() - 0x3f2aaaab) & ~0x7fffff; }
CK_INLINE F exponent(F::Int bits) { return F(__builtin_convertvector(bits >> 23, F::Raw)); }

}  // namespace math_detail

CK_INLINE Vec<float> exp(Vec<float> x) {
  const auto [n, p] = math_detail::reduce_exp(math_detail::clamp(x, -104.0f, 89.0f));
  return math_detail::scale(p + 1.0f, n);
}

CK_INLINE Vec<float> expm1(Vec<float> x) {
  const auto [n, p] = math_detail::reduce_exp(math_detail::clamp(x, -30.0f, 89.0f));
  // 2^n p + 2^n - 1, halved so that n = 128 does not overflow before the sum.
  const Vec<float> half = math_detail::pow2(n - 1.0f);
  const Vec<float> y = fma(half, p, half - 0.5f) * 2.0f;
  return select(n == 0.0f, select(x == 0.0f, x, p), y);
}

CK_INLINE Vec<float> sigmoid(Vec<float> x) { return 1.0f / (1.0f + exp(-x)); }

CK_INLINE Vec<float> tanh(Vec<float> x) {
#if CK_X86_64 && CK_ISA_LEVEL == 2
  // x times a polynomial for tanh(|x|)/|x|, of 32 that two registers hold for each power. A
  // division alone would take as long.
  const Vec<float> b = math_detail::clamp(x, -math_detail::kTanhBound, math_detail::kTanhBound);
  const Vec<float> a = abs(b), scale = math_detail::kTanhScale;
  // The sum's last bits are the nearest whole number to the product.
  const Vec<float> magic = 0x1.8p23f, sum = fma(a, scale, magic);
  const Vec<float> t = fma(a, scale, magic - sum);
  const auto c = [&](int row) { return math_detail::tanh_coefficient(row, sum.bits()); };
  Vec<float> p = c(0);
#pragma GCC unroll 5
  for (int row = 1; row < 6; ++row) p = fma(p, t, c(row));
  return b * p;
#else
  // -expm1(-2a) / (expm1(-2a) + 2); never cancels, so small arguments need no branch.
  const Vec<float> a = min_or_second(Vec<float>(9.2f), abs(x));
  const auto [n, p] = math_detail::reduce_exp(-2.0f * a);
  const Vec<float> power = math_detail::pow2(n);
  const Vec<float> e = fma(power, p, power - 1.0f);
  return copysign(e / (e + 2.0f), x);
#endif
}

CK_INLINE Vec<float> log(Vec<float> x) {
  // Denormals have no exponent to read; with denormals flushed they are 0 here too.
  const auto tiny = x < 0x1p-126f;
  const Vec<float> y = select(tiny, x * 0x1p24f, x);
  const auto bits = math_detail::exponent_bits(y);
  const Vec<float> k = math_detail::exponent(bits) - select(tiny, Vec<float>(24.0f), 0.0f);
  const Vec<float> m = Vec<float>::bits(y.bits() - bits);
  Vec<float> r = math_detail::log_reduced(m - 1.0f, k);
  r = select(x < __builtin_inff(), r, x);  // inf, NaN
  r = select(y == 0.0f, Vec<float>(-__builtin_inff()), r);
  return select(x < 0.0f, Vec<float>(__builtin_nanf("")), r);
}

CK_INLINE Vec<float> log1p(Vec<float> x) {
  const Vec<float> u = 1.0f + x;
  // What the sum lost, exact (Dekker's Fast2Sum, the larger operand first).
  const Vec<float> lost = select(abs(x) < 1.0f, x - (u - 1.0f), 1.0f - (u - x));
  const auto bits = math_detail::exponent_bits(u);
  const Vec<float> k = math_detail::exponent(bits);
  const Vec<float> m = Vec<float>::bits(u.bits() - bits);
  // lost * 2^-k: the k of a large u is up to 128, where `lost` no longer matters.
  const Vec<float> unscale = math_detail::pow2(-math_detail::clamp(k, -126.0f, 126.0f));
  Vec<float> r = math_detail::log_reduced((m - 1.0f) + lost * unscale, k);
  r = select(x < __builtin_inff(), r, x);  // inf, NaN
  r = select(x == -1.0f, Vec<float>(-__builtin_inff()), r);
  r = select(x < -1.0f, Vec<float>(__builtin_nanf("")), r);
  return select(x == 0.0f, x, r);
}

CK_INLINE Vec<float> softplus(Vec<float> x) {
  // With t = exp(-|x|) in [0, 1] log1p needs none of its special cases.
  const Vec<float> t = exp(-abs(x));
  const Vec<float> u = 1.0f + t;
  const auto bits = math_detail::exponent_bits(u);
  const Vec<float> k = math_detail::exponent(bits);  // 0 or 1
  const Vec<float> m = Vec<float>::bits(u.bits() - bits);
  const Vec<float> lost = (t - (u - 1.0f)) * fma(k, Vec<float>(-0.5f), Vec<float>(1.0f));
  return math_detail::log_reduced((m - 1.0f) + lost, k) + max_or_second(Vec<float>(0.0f), x);
}

CK_INLINE Vec<float> erf(Vec<float> x) {
  const Vec<float> a = abs(x), s = x * x;
  // erf(x)/x - 1 as a polynomial in x^2 up to 0.93.
  const Vec<float> small =
      fma(math_detail::poly(s, 0x1.5cd652p-14f, -0x1.aa3fc2p-11f, 0x1.54c80ap-8f, -0x1.b80e94p-6f,
                            0x1.ce2e0ap-4f, -0x1.812742p-2f, 0x1.06eba8p-3f),
          x, x);
  // log(erfc(a))/a as a polynomial up to 4, where erf rounds to 1.
  const Vec<float> b = min_or_second(Vec<float>(4.0f), a);
  const Vec<float> g = b * math_detail::poly(b, 0x1.c0c2d2p-13f, -0x1.a56442p-9f, 0x1.770790p-6f,
                                             -0x1.af2714p-4f, -0x1.457cdep-1f, -0x1.20e652p0f);
  return select(a < 0.93f, small, copysign(1.0f - exp(g), x));
}

namespace math_detail {

template <class Fn>
CK_INLINE Vec<double> lanewise(Vec<double> x, Fn fn) {
  for (int i = 0; i < Vec<double>::kLanes; ++i) x.set(i, fn(x[i]));
  return x;
}

}  // namespace math_detail

// The builtins call libm itself: <cmath>'s overloads are inline functions (see core/isa.h).
CK_INLINE Vec<double> exp(Vec<double> x) {
  return math_detail::lanewise(x, [](double v) { return __builtin_exp(v); });
}
CK_INLINE Vec<double> expm1(Vec<double> x) {
  return math_detail::lanewise(x, [](double v) { return __builtin_expm1(v); });
}
CK_INLINE Vec<double> tanh(Vec<double> x) {
  return math_detail::lanewise(x, [](double v) { return __builtin_tanh(v); });
}
CK_INLINE Vec<double> log(Vec<double> x) {
  return math_detail::lanewise(x, [](double v) { return __builtin_log(v); });
}
CK_INLINE Vec<double> log1p(Vec<double> x) {
  return math_detail::lanewise(x, [](double v) { return __builtin_log1p(v); });
}
CK_INLINE Vec<double> erf(Vec<double> x) {
  return math_detail::lanewise(x, [](double v) { return __builtin_erf(v); });
}
CK_INLINE Vec<double> sigmoid(Vec<double> x) { return 1.0 / (1.0 + exp(-x)); }
CK_INLINE Vec<double> softplus(Vec<double> x) {
  return log1p(exp(-abs(x))) + max_or_second(Vec<double>(0.0), x);
}

}  // namespace convkit::CK_ISA
