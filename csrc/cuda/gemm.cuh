// The product of two matrices, C = A B, in float32 by fused multiply-adds: one main loop for dense
// layers and, as an implicit matrix product, for convolutions.
//
// A block computes a tile of C. Slices of A and B, kDepth terms deep, come from global memory to
// registers while the slice before is used, and then to one of two buffers in shared memory, where
// both lie with the terms as rows; so one barrier for each slice will do. A thread reads four
// numbers at a time of either and keeps kRows x kColumns sums in registers.
//
// What A and B are is up to loaders (cuda/product_loader.cuh).
#pragma once

#include "cuda/launch.cuh"
#include "cuda/product_cut.cuh"
#include "cuda/product_loader.cuh"
#include "cuda/product_output.cuh"

namespace convkit::cuda {

template <class Shape, class A, class B>
struct Product;

// kRows x kColumns sums of a thread, kLanes threads of a warp below each other, and kDown x kAcross
// warps. The rows of a thread are in pieces of four, kLanes * 4 apart, its columns likewise: so the
// threads of a warp read one stretch of shared memory.
template <int kRows_, int kColumns_, int kLanes_, int kDown_, int kAcross_, int kDepth_,
          int kMinBlocks_>
struct Tile {
  template <class A, class B>
  using Kernel = Product<Tile, A, B>;
  static constexpr int kRows = kRows_, kColumns = kColumns_, kDepth = kDepth_;
  static constexpr int kLanesDown = kLanes_, kLanesAcross = 32 / kLanes_;
  static constexpr int kWarpRows = kRows * kLanesDown, kWarpColumns = kColumns * kLanesAcross;
  static constexpr int kDown = kDown_, kAcross = kAcross_;
  static constexpr int kHeight = kWarpRows * kDown, kWidth = kWarpColumns * kAcross;
  static constexpr int kThreads = 32 * kDown * kAcross, kMinBlocks = kMinBlocks_;
};
using LargeTile = Tile<8, 8, 8, 2, 4, 8, 2>;    // 128 x 128, 256 threads
using MediumTile = Tile<8, 4, 4, 2, 2, 16, 4>;  // 64 x 64, 128 threads
using NarrowTile = Tile<4, 4, 8, 4, 1, 16, 4>;  // 128 x 16, 128 threads

// A slice of A (kWidth rows) or B (kWidth columns) on its way to shared memory.
template <class Loader, int kWidth, int kDepth, int kThreads>
struct Slice : Quads<Loader, kWidth, kDepth, kThreads> {
  using Base = Quads<Loader, kWidth, kDepth, kThreads>;
  using Base::kLoads;
  // Rows are so long that the four rows of a store meet few banks twice.
  static constexpr int kPitch = kWidth + 4;

  typename Loader::Line lines[kLoads] = {};
  float4 values[kLoads] = {};

  CK_DEVICE void begin(const Loader& loader, int first, int group) {
    CK_UNROLL
    for (int i = 0; i < kLoads; ++i)
      if (Base::there(i)) lines[i] = loader.line(first + Base::x_of(i), group);
  }
  CK_DEVICE void load(const Loader& loader, int term, int end) {
    CK_UNROLL
    for (int i = 0; i < kLoads; ++i) {
      if (!Base::there(i)) continue;
      ToRegisters to;
      loader.load(lines[i], term + Base::term_of(i), end, to);
      values[i] = to.v;
    }
  }
  CK_DEVICE void store(float (*to)[kPitch]) const {
    CK_UNROLL
    for (int i = 0; i < kLoads; ++i) {
      if (!Base::there(i)) continue;
      float* const at = &to[Base::term_of(i)][Base::x_of(i)];
      if constexpr (Loader::kAlongTerms) {
        CK_UNROLL
        for (int k = 0; k < 4; ++k) at[k * kPitch] = part(values[i], k);
      } else {
        *reinterpret_cast<float4*>(at) = values[i];
      }
    }
  }
};

// C = A B for each group of a convolution, in `cut.splits` parts of the terms.
template <class Shape, class A, class B>
struct Product {
  static constexpr int kThreads = Shape::kThreads, kMinBlocks = Shape::kMinBlocks;
  static constexpr int kDynamicShared = 0;
  using SliceA = Slice<A, Shape::kHeight, Shape::kDepth, kThreads>;
  using SliceB = Slice<B, Shape::kWidth, Shape::kDepth, kThreads>;
  static constexpr int kPieces = Shape::kColumns / 4;

  A a;
  B b;
  ProductOutput out;
  ProductCut cut;

  CK_DEVICE void operator()() const {
    CK_SHARED(float, shared_a, [2][Shape::kDepth][SliceA::kPitch]);
    CK_SHARED(float, shared_b, [2][Shape::kDepth][SliceB::kPitch]);
    const auto [group, split, top, left, begin, end] = cut.place<Shape>();
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int row = warp / Shape::kAcross * Shape::kWarpRows + lane / Shape::kLanesAcross * 4;
    const int column = warp % Shape::kAcross * Shape::kWarpColumns + lane % Shape::kLanesAcross * 4;

    SliceA next_a;
    SliceB next_b;
    next_a.begin(a, top, group);
    next_b.begin(b, left, group);
    next_a.load(a, begin, end);
    next_b.load(b, begin, end);
    next_a.store(shared_a[0]);
    next_b.store(shared_b[0]);
    __syncthreads();

    float4 sums[Shape::kRows][kPieces] = {};
    for (int term = begin, buffer = 0; term < end; term += Shape::kDepth, buffer ^= 1) {
      next_a.load(a, term + Shape::kDepth, end);  // zeros, behind the last one
      next_b.load(b, term + Shape::kDepth, end);
      multiply(shared_a[buffer], shared_b[buffer], row, column, sums);
      next_a.store(shared_a[buffer ^ 1]);
      next_b.store(shared_b[buffer ^ 1]);
      __syncthreads();
    }
    finish(sums, top + row, left + column, group, split);
  }

  // sums += the product of two slices in shared memory.
  CK_DEVICE static void multiply(const float (*from_a)[SliceA::kPitch],
                                 const float (*from_b)[SliceB::kPitch], int row, int column,
                                 float4 (&sums)[Shape::kRows][kPieces]) {
    CK_UNROLL
    for (int k = 0; k < Shape::kDepth; ++k) {
      float4 u[Shape::kRows / 4], v[kPieces];
      CK_UNROLL
      for (int i = 0; i < Shape::kRows / 4; ++i)
        u[i] = *reinterpret_cast<const float4*>(&from_a[k][row + i * 4 * Shape::kLanesDown]);
      CK_UNROLL
      for (int j = 0; j < kPieces; ++j)
        v[j] = *reinterpret_cast<const float4*>(&from_b[k][column + j * 4 * Shape::kLanesAcross]);
      CK_UNROLL
      for (int i = 0; i < Shape::kRows; ++i) {
        const float factor = part(u[i / 4], i % 4);
        CK_UNROLL
        for (int j = 0; j < kPieces; ++j) {
          sums[i][j].x += factor * v[j].x;
          sums[i][j].y += factor * v[j].y;
          sums[i][j].z += factor * v[j].z;
          sums[i][j].w += factor * v[j].w;
        }
      }
    }
  }

  CK_DEVICE static int row_of(int i) { return i / 4 * 4 * Shape::kLanesDown + i % 4; }
  CK_DEVICE static int column_of(int j) { return j * 4 * Shape::kLanesAcross; }

  CK_DEVICE void finish(float4 (&sums)[Shape::kRows][kPieces], int row, int column, int group,
                        int split) const {
    if (cut.splits > 1) {
      CK_UNROLL
      for (int i = 0; i < Shape::kRows; ++i) CK_UNROLL
      for (int j = 0; j < kPieces; ++j)
        out.store_part(row + row_of(i), column + column_of(j), group, split, sums[i][j]);
      return;
    }
    if (out.cheap()) {
      CK_UNROLL
      for (int i = 0; i < Shape::kRows; ++i) CK_UNROLL
      for (int j = 0; j < kPieces; ++j)
        out.store<true>(row + row_of(i), column + column_of(j), group, sums[i][j]);
      return;
    }
    // The formulas are long: one copy of them, through which the sums move up row by row.
    CK_ROLLED
    for (int i = 0; i < Shape::kRows; ++i) {
      CK_UNROLL
      for (int j = 0; j < kPieces; ++j)
        out.store<false>(row + row_of(i), column + column_of(j), group, sums[0][j]);
      CK_UNROLL
      for (int r = 0; r + 1 < Shape::kRows; ++r) CK_UNROLL
      for (int j = 0; j < kPieces; ++j) sums[r][j] = sums[r + 1][j];
    }
  }
};

}  // namespace convkit::cuda
