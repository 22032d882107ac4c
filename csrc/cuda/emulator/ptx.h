// What ptx.cuh declares, on the CPU.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "cuda/emulator/device.h"
#include "cuda/emulator/types.h"

namespace convkit::emulator {

struct MmaOperands {
  float d[4];
  uint32_t a[4], b[2];
};
void mma_m16n8k8_tf32_lanes(const Lanes& lanes);
void mma_m16n8k16_bf16_lanes(const Lanes& lanes);

inline void mma(const char* what, WarpFunction function, float (&d)[4], const uint32_t (&a)[4],
                const uint32_t (&b)[2], const Site& site) {
  MmaOperands operands;
  std::memcpy(operands.d, d, sizeof d);
  std::memcpy(operands.a, a, sizeof a);
  std::memcpy(operands.b, b, sizeof b);
  warp_meet(what, ~0u, site, function, &operands, d);
}

struct MatrixRow {
  uint16_t numbers[8];
};
void ldmatrix_lanes(const Lanes& lanes, int matrices, bool transposed);
template <int matrices, bool transposed>
void ldmatrix_lanes(const Lanes& lanes) {
  ldmatrix_lanes(lanes, matrices, transposed);
}

}  // namespace convkit::emulator

namespace convkit::cuda {

inline void spin_hint() { emulator::spin(); }

inline int load_acquire(const int* p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
inline void store_release(int* p, int v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

inline void mbarrier_init(uint64_t* barrier, int arrivals) {
  emulator::mbarrier_init(barrier, arrivals);
}
inline void mbarrier_arrive(uint64_t* barrier, emulator::Site site = emulator::Site::current()) {
  emulator::mbarrier_arrive(barrier, site);
}
inline void mbarrier_wait(uint64_t* barrier, unsigned parity,
                          emulator::Site site = emulator::Site::current()) {
  while (!emulator::mbarrier_passed(barrier, parity, site)) spin_hint();
}

template <int bytes>
void cp_async(void* shared, const void* global, bool valid = true,
              emulator::Site site = emulator::Site::current()) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  emulator::copy_async(shared, global, bytes, valid, site);
}
inline void cp_async_commit() { emulator::commit_copies(); }
template <int groups>
void cp_async_wait() {
  emulator::wait_for_copies(groups);
}

inline uint32_t to_tf32(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7F800000) == 0x7F800000) return u;  // infinity or NaN
  return (u + 0x1000) & 0xFFFFE000;
}

inline uint32_t to_bf16(float low, float high) {
  return emulator::bfloat16_of(low) | uint32_t{emulator::bfloat16_of(high)} << 16;
}

inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                             emulator::Site site = emulator::Site::current()) {
  emulator::mma("mma.m16n8k8.tf32", &emulator::mma_m16n8k8_tf32_lanes, d, a, b, site);
}
inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                              emulator::Site site = emulator::Site::current()) {
  emulator::mma("mma.m16n8k16.bf16", &emulator::mma_m16n8k16_bf16_lanes, d, a, b, site);
}

template <int matrices, bool transposed = false>
void ldmatrix(uint32_t (&r)[matrices], const void* row,
              emulator::Site site = emulator::Site::current()) {
  static_assert(matrices == 1 || matrices == 2 || matrices == 4);
  // Each lane reads the row that it points to, so that a sanitizer sees whose address is wrong.
  emulator::MatrixRow own = {};
  if (emulator::lane() < 8 * matrices) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
      emulator::fail("ldmatrix: a row is not 16-byte aligned", site);
    const auto* numbers = static_cast<const uint16_t*>(row);
    for (int i = 0; i < 8; ++i) own.numbers[i] = numbers[i];
  }
  emulator::warp_meet("ldmatrix", ~0u, site, &emulator::ldmatrix_lanes<matrices, transposed>, &own,
                      r);
}

}  // namespace convkit::cuda
