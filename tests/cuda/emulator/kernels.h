// Kernels that show what the emulator does, and the errors that it must find: CK_PLANTED_BUG plants
// one of them.
//
//   1  no barrier between writing a tile and using it
//   2  no barrier between using a tile and writing the next
//   3  a write behind the end of a shared array
//   4  a read behind the end of global memory
//   5  no wait for an asynchronous copy
//   6  no __syncwarp where only a warp's lanes share a tile
//   7  a barrier in a branch that half of the threads take
//   8  no __threadfence between writing for another block and telling it
//   9  a vector load from an address that is not a multiple of its size
//  10  a pointer to memory that has been freed
#pragma once

#include <cstdint>

#include "cuda/launch.cuh"
#include "cuda/ptx.cuh"
#include "cuda/reduce.cuh"

#ifndef CK_PLANTED_BUG
#define CK_PLANTED_BUG 0
#endif

namespace convkit::cuda {

// y = a * x + y
struct Axpy {
  float a;
  const float* x;
  float* y;
  CK_DEVICE void operator()(int64_t i) const { y[i] = fmaf(a, x[i], y[i]); }
};

// Copies four numbers.
struct Copy4 {
  const float* from;
  float* to;
  CK_DEVICE void operator()(int64_t i) const {
    const float* source = from + (CK_PLANTED_BUG == 9);
    reinterpret_cast<float4*>(to)[i] = reinterpret_cast<const float4*>(source)[i];
  }
};

// C (M, N) = A (M, K) B (K, N): a block has a tile of 64 x 64, a thread 4 x 4 of it.
struct TileProduct {
  static constexpr int kThreads = 256;
  static constexpr int kTile = 64, kDepth = 16;
  const float *a, *b;
  float* c;
  int m, n, k;

  CK_DEVICE void operator()() const {
    CK_SHARED(float, a_tile, [kDepth][kTile]);
    CK_SHARED(float, b_tile, [kDepth][kTile]);
    const int thread = threadIdx.x;
    const int row = thread / 16 * 4, column = thread % 16 * 4;
    const int m0 = blockIdx.y * kTile, n0 = blockIdx.x * kTile;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < k; k0 += kDepth) {
      for (int i = thread; i < kTile * kDepth; i += kThreads) {
        const int r = m0 + i / kDepth, c = k0 + i % kDepth;
        a_tile[i % kDepth][i / kDepth] = r < m && c < k ? a[int64_t{r} * k + c] : 0.0f;
      }
      for (int i = thread; i < kTile * kDepth; i += kThreads) {
        const int r = k0 + i / kTile, c = n0 + i % kTile;
        const int to = i / kTile + (CK_PLANTED_BUG == 3 && i / kTile == kDepth - 1);
        const bool inside = r < k && (c < n || CK_PLANTED_BUG == 4);
        (&b_tile[0][0])[to * kTile + i % kTile] = inside ? b[int64_t{r} * n + c] : 0.0f;
      }
      if (CK_PLANTED_BUG != 1) __syncthreads();
      for (int d = 0; d < kDepth; ++d) {
        CK_UNROLL
        for (int i = 0; i < 4; ++i) CK_UNROLL
        for (int j = 0; j < 4; ++j)
          sum[i][j] = fmaf(a_tile[d][row + i], b_tile[d][column + j], sum[i][j]);
      }
      if (CK_PLANTED_BUG != 2) __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j)
        if (m0 + row + i < m && n0 + column + j < n)
          c[int64_t{m0 + row + i} * n + n0 + column + j] = sum[i][j];
  }
};

// total = sum of x: partial sums of the blocks, added in their order by the block that ends last.
struct TwoLevelSum {
  static constexpr int kThreads = 256;
  const float* x;
  int n;
  float* partial;    // one per block
  unsigned* ticket;  // 0, and 0 again afterwards
  float* total;

  CK_DEVICE void operator()() const {
    CK_SHARED(bool, last, [1]);
    float sum = 0.0f;
    for (int i = blockIdx.x * kThreads + threadIdx.x; i < n; i += gridDim.x * kThreads) sum += x[i];
    sum = block_sum<kThreads>(sum);
    if (threadIdx.x == 0) {
      partial[blockIdx.x] = sum;
      if (CK_PLANTED_BUG != 8) __threadfence();
      last[0] = atomicAdd(ticket, 1u) == gridDim.x - 1;
      if (CK_PLANTED_BUG != 8) __threadfence();
    }
    if (CK_PLANTED_BUG == 7) {
      if (threadIdx.x < kThreads / 2) __syncthreads();
    } else {
      __syncthreads();
    }
    if (!last[0] || threadIdx.x != 0) return;
    float all = 0.0f;
    for (unsigned i = 0; i < gridDim.x; ++i) all += partial[i];
    *total = all;
    *ticket = 0;
  }
};

#if CK_CUDA_EMULATED || !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

// C (M, N) = A (M, K) B (K, N) in TF32: a warp has a tile of 16 x 8; rows of A come through a
// double buffer. M is a multiple of 16, N of 8, K of 16.
struct WarpProduct {
  static constexpr int kThreads = 32;
  const float *a, *b;
  float* c;
  int m, n, k;

  CK_DEVICE void load(float (&to)[16][20], int m0, int k0) const {
    for (int i = threadIdx.x; i < 64; i += 32)
      cp_async<16>(&to[i / 4][i % 4 * 4], &a[int64_t{m0 + i / 4} * k + k0 + i % 4 * 4]);
    cp_async_commit();
  }

  CK_DEVICE void operator()() const {
    CK_SHARED(float, a_tile, [2][16][20]);
    const int g = threadIdx.x / 4, q = threadIdx.x % 4;
    const int m0 = blockIdx.y * 16, n0 = blockIdx.x * 8;
    float d[4] = {};
    load(a_tile[0], m0, 0);
    for (int k0 = 0, now = 0; k0 < k; k0 += 16, now ^= 1) {
      if (k0 + 16 < k) {
        load(a_tile[now ^ 1], m0, k0 + 16);
        if (CK_PLANTED_BUG != 5) cp_async_wait<1>();
      } else {
        cp_async_wait<0>();
      }
      __syncwarp();
      for (int s = 0; s < 16; s += 8) {
        const float (&tile)[16][20] = a_tile[now];
        const uint32_t fragment[4] = {to_tf32(tile[g][s + q]), to_tf32(tile[g + 8][s + q]),
                                      to_tf32(tile[g][s + q + 4]), to_tf32(tile[g + 8][s + q + 4])};
        const float* column = b + int64_t{k0 + s + q} * n + n0 + g;
        const uint32_t other[2] = {to_tf32(column[0]), to_tf32(column[4 * n])};
        mma_m16n8k8_tf32(d, fragment, other);
      }
      if (CK_PLANTED_BUG != 6) __syncwarp();
    }
    for (int i = 0; i < 4; ++i) c[int64_t{m0 + g + i / 2 * 8} * n + n0 + 2 * q + i % 2] = d[i];
  }
};

#endif

}  // namespace convkit::cuda
