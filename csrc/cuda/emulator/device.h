// What a kernel may call: the built-in variables and functions of CUDA, under their own names.
#pragma once

#include <math.h>

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "cuda/emulator/scheduler.h"
#include "cuda/emulator/types.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// ---- barriers and fences

inline void __syncthreads(convkit::emulator::Site site = convkit::emulator::Site::current()) {
  convkit::emulator::block_barrier("__syncthreads", site);
}
inline int __syncthreads_count(int predicate,
                               convkit::emulator::Site site = convkit::emulator::Site::current()) {
  return convkit::emulator::block_barrier_count("__syncthreads_count", predicate != 0, site);
}
inline int __syncthreads_or(int predicate,
                            convkit::emulator::Site site = convkit::emulator::Site::current()) {
  return convkit::emulator::block_barrier_count("__syncthreads_or", predicate != 0, site) != 0;
}
inline int __syncthreads_and(int predicate,
                             convkit::emulator::Site site = convkit::emulator::Site::current()) {
  return convkit::emulator::block_barrier_count("__syncthreads_and", predicate == 0, site) == 0;
}
inline void __syncwarp(unsigned mask = ~0u,
                       convkit::emulator::Site site = convkit::emulator::Site::current()) {
  convkit::emulator::warp_barrier(mask, site);
}
inline void __threadfence() { convkit::emulator::fence(); }
inline void __threadfence_block() { convkit::emulator::fence(); }
inline void __threadfence_system() { convkit::emulator::fence(); }

// ---- warps

namespace convkit::emulator {

struct alignas(16) Payload {
  unsigned char bytes[16] = {};
  int source = 0;
};

// Each lane gets the payload of its source lane; a bit for each lane; the payloads of all lanes.
void shuffle_lanes(const Lanes& lanes);
void ballot_lanes(const Lanes& lanes);
void gather_lanes(const Lanes& lanes);

template <class T>
T shuffle(const char* what, unsigned mask, T value, int source, const Site& site) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  Payload payload;
  std::memcpy(payload.bytes, &value, sizeof(T));
  payload.source = source;
  Payload result;
  warp_meet(what, mask, site, &shuffle_lanes, &payload, &result);
  std::memcpy(&value, result.bytes, sizeof(T));
  return value;
}

template <class T, class F>
T reduce(const char* what, unsigned mask, T value, const Site& site, const F& combine) {
  Payload payload, all[32];
  std::memcpy(payload.bytes, &value, sizeof(T));
  warp_meet(what, mask, site, &gather_lanes, &payload, all);
  const int self = lane();
  for (int i = 0; i < 32; ++i) {
    if (i == self || (mask >> i & 1) == 0 || all[i].source < 0) continue;
    T other;
    std::memcpy(&other, all[i].bytes, sizeof(T));
    value = combine(value, other);
  }
  return value;
}

}  // namespace convkit::emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              convkit::emulator::Site site = convkit::emulator::Site::current()) {
  const int first = convkit::emulator::lane() & ~(width - 1);
  return convkit::emulator::shuffle("__shfl_sync", mask, value, first | (source & (width - 1)),
                                    site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 convkit::emulator::Site site = convkit::emulator::Site::current()) {
  const int lane = convkit::emulator::lane(), source = lane - static_cast<int>(delta);
  return convkit::emulator::shuffle("__shfl_up_sync", mask, value,
                                    source < (lane & ~(width - 1)) ? lane : source, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   convkit::emulator::Site site = convkit::emulator::Site::current()) {
  const int lane = convkit::emulator::lane(), source = lane + static_cast<int>(delta);
  return convkit::emulator::shuffle("__shfl_down_sync", mask, value,
                                    source > (lane | (width - 1)) ? lane : source, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  convkit::emulator::Site site = convkit::emulator::Site::current()) {
  const int lane = convkit::emulator::lane(), source = lane ^ lane_mask;
  return convkit::emulator::shuffle("__shfl_xor_sync", mask, value,
                                    source > (lane | (width - 1)) ? lane : source, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              convkit::emulator::Site site = convkit::emulator::Site::current()) {
  unsigned votes = 0;
  const int vote = predicate != 0;
  convkit::emulator::warp_meet("__ballot_sync", mask, site, &convkit::emulator::ballot_lanes, &vote,
                               &votes);
  return votes;
}
inline int __any_sync(unsigned mask, int predicate,
                      convkit::emulator::Site site = convkit::emulator::Site::current()) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      convkit::emulator::Site site = convkit::emulator::Site::current()) {
  return __ballot_sync(mask, !predicate, site) == 0;
}

// Of compute capability 8.0 on, for int and unsigned.
#define CK_EMULATOR_REDUCE(name, formula)                                                    \
  template <class T>                                                                         \
    requires(std::same_as<T, int> || std::same_as<T, unsigned>)                              \
  T name(unsigned mask, T value,                                                             \
         convkit::emulator::Site site = convkit::emulator::Site::current()) {                \
    return convkit::emulator::reduce(#name, mask, value, site,                               \
                                     [](T a, T b) -> T { return static_cast<T>(formula); }); \
  }
CK_EMULATOR_REDUCE(__reduce_add_sync, unsigned(a) + unsigned(b))
CK_EMULATOR_REDUCE(__reduce_min_sync, a < b ? a : b)
CK_EMULATOR_REDUCE(__reduce_max_sync, a > b ? a : b)
CK_EMULATOR_REDUCE(__reduce_and_sync, a& b)
CK_EMULATOR_REDUCE(__reduce_or_sync, a | b)
CK_EMULATOR_REDUCE(__reduce_xor_sync, a ^ b)
#undef CK_EMULATOR_REDUCE

// ---- atomics, on integers only: sums of floats in any order are not wanted

namespace convkit::emulator {
template <class T>
concept Atomic =
    std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;

// Relaxed, as on the device.
template <Atomic T, class F>
T atomic_update(T* address, const F& update) {
  before_atomic(address);
  T old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(address, &old, update(old), false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
  after_atomic(address);
  return old;
}
}  // namespace convkit::emulator

#define CK_EMULATOR_ATOMIC(name, formula)                                                      \
  template <convkit::emulator::Atomic T>                                                       \
  T name(T* address, std::type_identity_t<T> value) {                                          \
    return convkit::emulator::atomic_update(address, [value](T old) -> T { return formula; }); \
  }
CK_EMULATOR_ATOMIC(atomicAdd, static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) +
                                             static_cast<std::make_unsigned_t<T>>(value)))
CK_EMULATOR_ATOMIC(atomicMin, value < old ? value : old)
CK_EMULATOR_ATOMIC(atomicMax, value > old ? value : old)
CK_EMULATOR_ATOMIC(atomicAnd, old& value)
CK_EMULATOR_ATOMIC(atomicOr, old | value)
CK_EMULATOR_ATOMIC(atomicXor, old ^ value)
CK_EMULATOR_ATOMIC(atomicExch, (static_cast<void>(old), value))
#undef CK_EMULATOR_ATOMIC

// As on the device: from 0 up to the limit and again, and from the limit down to 0 and again.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return convkit::emulator::atomic_update(
      address, [limit](unsigned old) { return old >= limit ? 0u : old + 1; });
}
template <convkit::emulator::Atomic T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return convkit::emulator::atomic_update(
      address, [expected, value](T old) { return old == expected ? value : old; });
}

// ---- memory

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}

// ---- arithmetic

// Of two numbers of one type: for most mixed pairs nvcc has no overload either.
template <class T>
  requires std::is_arithmetic_v<T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
  requires std::is_arithmetic_v<T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __float2int_rd(float x) { return static_cast<int>(floorf(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(uint64_t{a} * b >> 32);
}
// Byte i of the result is byte selector[i] % 8 of y:x, where nibbles select.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned r = 0;
  for (int i = 0; i < 4; ++i)
    r |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
  return r;
}
inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i) r |= (x >> i & 1) << (31 - i);
  return r;
}
