// One small function per instruction of PTX that C++ has no word for; the emulator's are in
// emulator/ptx.h. No other file contains assembly.
//
// Fragments (PTX ISA, "Matrix Fragments for mma"), for lane l of the warp, g = l / 4, q = l % 4:
//
//   m16n8k8 tf32    a[i]  A[g + 8 * (i % 2)][q + 4 * (i / 2)]
//                   b[i]  B[q + 4 * i][g]
//   m16n8k16 bf16   a[i]  A[g + 8 * (i % 2)][2 * q + 8 * (i / 2) + {0, 1}], low half first
//                   b[i]  B[2 * q + 8 * i + {0, 1}][g]
//   both            d[i]  D[g + 8 * (i / 2)][2 * q + i % 2]
#pragma once

#include <cstdint>

#include "cuda/runtime.h"

#if CK_CUDA_EMULATED

#include "cuda/emulator/ptx.h"

#else

namespace convkit::cuda {

// ---- waiting

// In every loop that waits for another thread of the block.
CK_DEVICE void spin_hint() { __nanosleep(32); }

// An address in shared memory, as PTX wants it.
CK_DEVICE uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Ordered at the scope of the device.
CK_DEVICE int load_acquire(const int* p) {
  int v;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
}
CK_DEVICE void store_release(int* p, int v) {
  asm volatile("st.release.gpu.global.s32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}

// ---- barriers in shared memory (sm_80)

// A phase is complete once `arrivals` threads have arrived. One thread initialises it, and all see
// it behind __syncthreads().
CK_DEVICE void mbarrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
}
CK_DEVICE void mbarrier_arrive(uint64_t* barrier) {
  asm volatile(
      "{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(shared_address(barrier))
      : "memory");
}
// Waits for the end of the phase of this parity: 0 for the first, 1 for the second, 0 ...
CK_DEVICE void mbarrier_wait(uint64_t* barrier, unsigned parity) {
  int passed = 0;
  while (!passed) {
    asm volatile(
        "{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.s32 %0, 1, 0, p; }"
        : "=r"(passed)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
}

// ---- copies from global to shared memory that go on in the background (sm_80)

// 4, 8 or 16 bytes; zeros where it is not `valid`, and then nothing is read.
template <int bytes>
CK_DEVICE void cp_async(void* shared, const void* global, bool valid = true) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  const int taken = valid ? bytes : 0;
  if constexpr (bytes == 16) {  // past the first-level cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(taken)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)),
                 "l"(global), "n"(bytes), "r"(taken)
                 : "memory");
  }
}
// Ends a group of copies of this thread.
CK_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until all but the last `groups` groups of this thread are there. Others see them behind a
// barrier.
template <int groups>
CK_DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

// ---- products of small matrices by a warp (sm_80), and what feeds them

// Rounds to the nearest TF32 number, ties away from zero.
CK_DEVICE uint32_t to_tf32(float x) {
  uint32_t u;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(u) : "f"(x));
  return u;
}

// Rounds to the nearest BF16 numbers, ties to even, the first one in the low half.
CK_DEVICE uint32_t to_bf16(float low, float high) {
  uint32_t u;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(u) : "f"(high), "f"(low));
  return u;
}

// d += A B
CK_DEVICE void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
CK_DEVICE void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads 1, 2 or 4 matrices of 8 x 8 16-bit numbers. Lane l gives the address of row l % 8 of matrix
// l / 8, 16-byte aligned, and gets numbers 2 * (l % 4) and the next one of row l / 4 of each; of
// the transposed matrices with `transposed`. (sm_75)
template <int matrices, bool transposed = false>
CK_DEVICE void ldmatrix(uint32_t (&r)[matrices], const void* row) {
  static_assert(matrices == 1 || matrices == 2 || matrices == 4);
  const uint32_t p = shared_address(row);
  if constexpr (matrices == 1 && !transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(p)
                 : "memory");
  } else if constexpr (matrices == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(p)
                 : "memory");
  } else if constexpr (matrices == 2 && !transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(p)
                 : "memory");
  } else if constexpr (matrices == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(p)
                 : "memory");
  } else if constexpr (!transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(p)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(p)
                 : "memory");
  }
}

}  // namespace convkit::cuda

#endif
