// Vec<T>: one SIMD register of float or double, over GCC/Clang vector extensions. 64 bytes with
// AVX-512, 32 with AVX2, 16 with baseline x86-64 and elsewhere.
//
// For kernel sources only (compiled once per ISA, see core/isa.h). Everything is CK_INLINE and in
// namespace convkit::CK_ISA. Intrinsics appear only where the extensions cannot say it: fma, min
// and max with a defined NaN rule, sqrt, rounding, masked memory access.
#pragma once

#ifndef CK_ISA
#error "simd/vec.h is for sources that are compiled once per ISA (CK_ISA, CK_ISA_LEVEL)"
#endif

#include <cstdint>

#include "core/isa.h"

#if CK_X86_64
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace convkit::CK_ISA {

#if CK_X86_64 && CK_ISA_LEVEL == 2
constexpr int kVecBytes = 64;
#elif CK_X86_64 && CK_ISA_LEVEL == 1
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

// Whether fma() rounds once. Baseline x86-64 has no such instruction; libm's emulation would be
// a hundred times slower, so there it is a product and a sum.
#if (CK_X86_64 && CK_ISA_LEVEL >= 1) || defined(__aarch64__)
constexpr bool kHasFma = true;
#else
constexpr bool kHasFma = false;
#endif

namespace raw {

typedef float F32 __attribute__((vector_size(kVecBytes)));
typedef double F64 __attribute__((vector_size(kVecBytes)));
typedef int32_t I32 __attribute__((vector_size(kVecBytes)));
typedef int64_t I64 __attribute__((vector_size(kVecBytes)));

// min and max here: the SECOND operand if either is NaN, as the x86 instructions do.
#if CK_X86_64 && CK_ISA_LEVEL == 2

// The maskz forms with a full mask are the same instructions; the plain forms make GCC 12 warn
// about the undefined registers inside its own headers.
CK_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
CK_INLINE F64 fma(F64 a, F64 b, F64 c) { return _mm512_fmadd_pd(a, b, c); }
CK_INLINE F32 min(F32 a, F32 b) { return _mm512_maskz_min_ps(-1, a, b); }
CK_INLINE F64 min(F64 a, F64 b) { return _mm512_maskz_min_pd(-1, a, b); }
CK_INLINE F32 max(F32 a, F32 b) { return _mm512_maskz_max_ps(-1, a, b); }
CK_INLINE F64 max(F64 a, F64 b) { return _mm512_maskz_max_pd(-1, a, b); }
CK_INLINE F32 sqrt(F32 a) { return _mm512_maskz_sqrt_ps(-1, a); }
CK_INLINE F64 sqrt(F64 a) { return _mm512_maskz_sqrt_pd(-1, a); }
CK_INLINE F32 round(F32 a) { return _mm512_maskz_roundscale_ps(-1, a, 8); }
CK_INLINE F64 round(F64 a) { return _mm512_maskz_roundscale_pd(-1, a, 8); }

CK_INLINE __mmask16 mask16(int n) { return static_cast<__mmask16>((1u << n) - 1); }
CK_INLINE __mmask8 mask8(int n) { return static_cast<__mmask8>((1u << n) - 1); }
CK_INLINE F32 load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(mask16(n), p); }
CK_INLINE F64 load_n(const double* p, int n) { return _mm512_maskz_loadu_pd(mask8(n), p); }
CK_INLINE void store_n(float* p, F32 v, int n) { _mm512_mask_storeu_ps(p, mask16(n), v); }
CK_INLINE void store_n(double* p, F64 v, int n) { _mm512_mask_storeu_pd(p, mask8(n), v); }

#else

#if CK_X86_64 && CK_ISA_LEVEL == 1

CK_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
CK_INLINE F64 fma(F64 a, F64 b, F64 c) { return _mm256_fmadd_pd(a, b, c); }
CK_INLINE F32 min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
CK_INLINE F64 min(F64 a, F64 b) { return _mm256_min_pd(a, b); }
CK_INLINE F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
CK_INLINE F64 max(F64 a, F64 b) { return _mm256_max_pd(a, b); }
CK_INLINE F32 sqrt(F32 a) { return _mm256_sqrt_ps(a); }
CK_INLINE F64 sqrt(F64 a) { return _mm256_sqrt_pd(a); }
CK_INLINE F32 round(F32 a) { return _mm256_round_ps(a, 8); }
CK_INLINE F64 round(F64 a) { return _mm256_round_pd(a, 8); }

#elif CK_X86_64

CK_INLINE F32 fma(F32 a, F32 b, F32 c) { return a * b + c; }
CK_INLINE F64 fma(F64 a, F64 b, F64 c) { return a * b + c; }
CK_INLINE F32 min(F32 a, F32 b) { return _mm_min_ps(a, b); }
CK_INLINE F64 min(F64 a, F64 b) { return _mm_min_pd(a, b); }
CK_INLINE F32 max(F32 a, F32 b) { return _mm_max_ps(a, b); }
CK_INLINE F64 max(F64 a, F64 b) { return _mm_max_pd(a, b); }
CK_INLINE F32 sqrt(F32 a) { return _mm_sqrt_ps(a); }
CK_INLINE F64 sqrt(F64 a) { return _mm_sqrt_pd(a); }
// SSE2 cannot round: adding 2^23 (2^52) pushes the fraction out. Above that there is none.
CK_INLINE F32 round(F32 a) {
  const I32 sign = (I32)a & INT32_MIN;
  const F32 magnitude = (F32)((I32)a ^ sign);
  const F32 rounded = (F32)((I32)((magnitude + 0x1p23f) - 0x1p23f) | sign);
  return magnitude < 0x1p23f ? rounded : a;
}
CK_INLINE F64 round(F64 a) {
  const I64 sign = (I64)a & INT64_MIN;
  const F64 magnitude = (F64)((I64)a ^ sign);
  const F64 rounded = (F64)((I64)((magnitude + 0x1p52) - 0x1p52) | sign);
  return magnitude < 0x1p52 ? rounded : a;
}

#else  // another architecture

#ifdef __aarch64__
CK_INLINE F32 fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
CK_INLINE F64 fma(F64 a, F64 b, F64 c) { return vfmaq_f64(c, a, b); }
CK_INLINE F32 sqrt(F32 a) { return vsqrtq_f32(a); }
CK_INLINE F64 sqrt(F64 a) { return vsqrtq_f64(a); }
CK_INLINE F32 round(F32 a) { return vrndnq_f32(a); }
CK_INLINE F64 round(F64 a) { return vrndnq_f64(a); }
#else
CK_INLINE F32 fma(F32 a, F32 b, F32 c) { return a * b + c; }
CK_INLINE F64 fma(F64 a, F64 b, F64 c) { return a * b + c; }
CK_INLINE F32 sqrt(F32 a) {
  for (int i = 0; i < kVecBytes / 4; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
CK_INLINE F64 sqrt(F64 a) {
  for (int i = 0; i < kVecBytes / 8; ++i) a[i] = __builtin_sqrt(a[i]);
  return a;
}
CK_INLINE F32 round(F32 a) {
  for (int i = 0; i < kVecBytes / 4; ++i) a[i] = __builtin_rintf(a[i]);
  return a;
}
CK_INLINE F64 round(F64 a) {
  for (int i = 0; i < kVecBytes / 8; ++i) a[i] = __builtin_rint(a[i]);
  return a;
}
#endif
CK_INLINE F32 min(F32 a, F32 b) { return a < b ? a : b; }
CK_INLINE F64 min(F64 a, F64 b) { return a < b ? a : b; }
CK_INLINE F32 max(F32 a, F32 b) { return a > b ? a : b; }
CK_INLINE F64 max(F64 a, F64 b) { return a > b ? a : b; }

#endif

// Through the stack: a load that reached past n could cross into a page that is not there.
template <class T>
CK_INLINE auto load_n(const T* p, int n) {
  typedef T R __attribute__((vector_size(kVecBytes)));
  R v = {};
  __builtin_memcpy(&v, p, sizeof(T) * static_cast<unsigned>(n));
  return v;
}
template <class T, class R>
CK_INLINE void store_n(T* p, R v, int n) {
  __builtin_memcpy(p, &v, sizeof(T) * static_cast<unsigned>(n));
}

#endif

template <class T>
struct Types;
template <>
struct Types<float> {
  using Float = F32;
  using Int = I32;
  using IntLane = int32_t;
  static constexpr int32_t kSign = INT32_MIN;
#if CK_X86_64 && CK_ISA_LEVEL == 2
  static constexpr Int kIota = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif CK_X86_64 && CK_ISA_LEVEL == 1
  static constexpr Int kIota = {0, 1, 2, 3, 4, 5, 6, 7};
#else
  static constexpr Int kIota = {0, 1, 2, 3};
#endif
};
template <>
struct Types<double> {
  using Float = F64;
  using Int = I64;
  using IntLane = int64_t;
  static constexpr int64_t kSign = INT64_MIN;
#if CK_X86_64 && CK_ISA_LEVEL == 2
  static constexpr Int kIota = {0, 1, 2, 3, 4, 5, 6, 7};
#elif CK_X86_64 && CK_ISA_LEVEL == 1
  static constexpr Int kIota = {0, 1, 2, 3};
#else
  static constexpr Int kIota = {0, 1};
#endif
};

}  // namespace raw

// The result of a comparison: all ones or all zeros in each lane.
template <class T>
struct Mask {
  using Int = typename raw::Types<T>::Int;
  Int v;

  CK_INLINE friend Mask operator&(Mask a, Mask b) { return {a.v & b.v}; }
  CK_INLINE friend Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
  CK_INLINE Mask operator!() const { return {~v}; }
  // Whether any lane is set.
  CK_INLINE bool any() const {
    bool any = false;
    for (int i = 0; i < kVecBytes / int{sizeof(T)}; ++i) any |= v[i] != 0;
    return any;
  }
};

template <class T>
struct Vec {
  using Raw = typename raw::Types<T>::Float;
  using Int = typename raw::Types<T>::Int;
  static constexpr int kLanes = kVecBytes / int{sizeof(T)};

  Raw v;

  CK_INLINE Vec() {}  // uninitialised, like a T
  CK_INLINE Vec(Raw raw) : v(raw) {}
  CK_INLINE Vec(T value) : v(value - Raw{}) {}  // x - 0 is x, -0 included; implicit: 2.0f * x

  CK_INLINE static Vec zero() { return Vec(Raw{}); }
  CK_INLINE static Vec broadcast(T value) { return Vec(value); }
  CK_INLINE static Vec bits(Int i) { return Vec((Raw)i); }  // reinterpretation
  CK_INLINE Int bits() const { return (Int)v; }

  // load and store: p is a multiple of kVecBytes; loadu and storeu: any p.
  CK_INLINE static Vec load(const T* p) { return Vec(*reinterpret_cast<const Aligned*>(p)); }
  CK_INLINE static Vec loadu(const T* p) { return Vec(*reinterpret_cast<const Unaligned*>(p)); }
  CK_INLINE void store(T* p) const { *reinterpret_cast<Aligned*>(p) = v; }
  CK_INLINE void storeu(T* p) const { *reinterpret_cast<Unaligned*>(p) = v; }

  // The first n lanes, 0 <= n <= kLanes; memory past p[n-1] is not touched. The other lanes of a
  // load are 0.
  CK_INLINE static Vec load_partial(const T* p, int n) { return Vec(raw::load_n(p, n)); }
  CK_INLINE void store_partial(T* p, int n) const { raw::store_n(p, v, n); }

  CK_INLINE T operator[](int lane) const { return v[lane]; }
  CK_INLINE void set(int lane, T value) { v[lane] = value; }

  CK_INLINE friend Vec operator+(Vec a, Vec b) { return Vec(a.v + b.v); }
  CK_INLINE friend Vec operator-(Vec a, Vec b) { return Vec(a.v - b.v); }
  CK_INLINE friend Vec operator*(Vec a, Vec b) { return Vec(a.v * b.v); }
  CK_INLINE friend Vec operator/(Vec a, Vec b) { return Vec(a.v / b.v); }
  CK_INLINE Vec operator-() const { return Vec(-v); }
  CK_INLINE Vec& operator+=(Vec o) { return v += o.v, *this; }
  CK_INLINE Vec& operator-=(Vec o) { return v -= o.v, *this; }
  CK_INLINE Vec& operator*=(Vec o) { return v *= o.v, *this; }
  CK_INLINE Vec& operator/=(Vec o) { return v /= o.v, *this; }

  // False in lanes with a NaN, except !=.
  CK_INLINE friend Mask<T> operator<(Vec a, Vec b) { return {(Int)(a.v < b.v)}; }
  CK_INLINE friend Mask<T> operator<=(Vec a, Vec b) { return {(Int)(a.v <= b.v)}; }
  CK_INLINE friend Mask<T> operator>(Vec a, Vec b) { return {(Int)(a.v > b.v)}; }
  CK_INLINE friend Mask<T> operator>=(Vec a, Vec b) { return {(Int)(a.v >= b.v)}; }
  CK_INLINE friend Mask<T> operator==(Vec a, Vec b) { return {(Int)(a.v == b.v)}; }
  CK_INLINE friend Mask<T> operator!=(Vec a, Vec b) { return {(Int)(a.v != b.v)}; }

  // mask ? a : b
  CK_INLINE friend Vec select(Mask<T> mask, Vec a, Vec b) { return Vec(mask.v ? a.v : b.v); }

  // a * b + c, rounded once where kHasFma.
  CK_INLINE friend Vec fma(Vec a, Vec b, Vec c) { return Vec(raw::fma(a.v, b.v, c.v)); }

  // One instruction; b if either is NaN. So relu(x) = max_or_second(zero, x) keeps a NaN of x.
  CK_INLINE friend Vec min_or_second(Vec a, Vec b) { return Vec(raw::min(a.v, b.v)); }
  CK_INLINE friend Vec max_or_second(Vec a, Vec b) { return Vec(raw::max(a.v, b.v)); }
  // NaN if either is NaN, as numpy.minimum and numpy.maximum. Of +0 and -0 either may come out.
  CK_INLINE friend Vec min(Vec a, Vec b) { return select(a == a, min_or_second(a, b), a); }
  CK_INLINE friend Vec max(Vec a, Vec b) { return select(a == a, max_or_second(a, b), a); }

  CK_INLINE friend Vec abs(Vec a) { return bits(a.bits() & ~raw::Types<T>::kSign); }
  // The magnitude of a with the sign of b, zeros and NaN included.
  CK_INLINE friend Vec copysign(Vec a, Vec b) {
    constexpr auto sign = raw::Types<T>::kSign;
    return bits((a.bits() & ~sign) | (b.bits() & sign));
  }
  CK_INLINE friend Vec sqrt(Vec a) { return Vec(raw::sqrt(a.v)); }
  CK_INLINE friend Vec round(Vec a) { return Vec(raw::round(a.v)); }  // to nearest, ties to even

  // Horizontal reductions over a fixed tree: lanes i and i + kLanes/2, then i + kLanes/4, ...
  // The tree depends on the width, so sums may differ between ISAs, never between runs.
  CK_INLINE friend T reduce_sum(Vec a) {
    for (int step = kLanes / 2; step > 0; step /= 2) a += a.swapped(step);
    return a.v[0];
  }
  CK_INLINE friend T reduce_max(Vec a) {  // NaN if any lane is NaN
    for (int step = kLanes / 2; step > 0; step /= 2) a = max(a, a.swapped(step));
    return a.v[0];
  }
  CK_INLINE friend T reduce_min(Vec a) {  // NaN if any lane is NaN
    for (int step = kLanes / 2; step > 0; step /= 2) a = min(a, a.swapped(step));
    return a.v[0];
  }

  // 0, 1, 2, ...
  CK_INLINE static Vec iota() { return Vec(__builtin_convertvector(raw::Types<T>::kIota, Raw)); }

 private:
  // may_alias: the memory holds T, not vectors.
  typedef T Aligned __attribute__((vector_size(kVecBytes), may_alias));
  typedef T Unaligned __attribute__((vector_size(kVecBytes), may_alias, aligned(alignof(T))));

  // Lane i takes lane i ^ step.
  CK_INLINE Vec swapped(int step) const {
    using Lane = typename raw::Types<T>::IntLane;
#ifdef __clang__
    Vec r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = v[i ^ step];
    return r;
#else
    return Vec(__builtin_shuffle(v, raw::Types<T>::kIota ^ static_cast<Lane>(step)));
#endif
  }
};

}  // namespace convkit::CK_ISA
