// The product of two matrices, C = A B, on tensor cores (sm_80): float32 in memory, operands
// rounded to TF32 or BF16 on their way into registers, sums in float32.
//
// A block computes a tile of C. Slices of A and B, kDepth terms deep, are copied to shared memory
// in the background (cp.async), kStages - 1 of them ahead of the one that is used; one barrier for
// each will do. They lie there as in global memory, along the terms or across them, so that four
// numbers are copied at a time; a warp reads fragments from either.
//
// Which term of eight, and which column of sixteen, is called the first in a fragment is ours to
// say, as long as A and B agree: a lane takes terms 2 q and 2 q + 1, which lie together, where the
// instruction has q and q + 4, and of two products side by side columns 2 g and 2 g + 1. So what it
// gets are columns 4 q to 4 q + 3, which are stored at a time; and with pitches of kDepth + 8 for
// A, kDepth + 4 for B, and kWidth + 4 across the terms, no two lanes of a read meet in a bank.
#pragma once

#include "cuda/device.h"
#include "cuda/product_plan.cuh"
#include "cuda/ptx.cuh"

namespace convkit::cuda {

// What operands are rounded to: the product of 16 x kTerms and kTerms x 8 numbers. A lane has pairs
// of terms, one of each eight: of A in rows g and g + 8, of B in column g (cuda/ptx.cuh).
struct Tf32 {
  static constexpr int kTerms = 8;
  CK_DEVICE static void put(uint32_t (&a)[4], int /*eight*/, float2 upper, float2 lower) {
    a[0] = to_tf32(upper.x);
    a[1] = to_tf32(lower.x);
    a[2] = to_tf32(upper.y);
    a[3] = to_tf32(lower.y);
  }
  CK_DEVICE static void put(uint32_t (&b)[2], int /*eight*/, float2 pair) {
    b[0] = to_tf32(pair.x);
    b[1] = to_tf32(pair.y);
  }
  CK_DEVICE static void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_m16n8k8_tf32(d, a, b);
  }
};
struct Bf16 {
  static constexpr int kTerms = 16;
  CK_DEVICE static void put(uint32_t (&a)[4], int eight, float2 upper, float2 lower) {
    a[2 * eight] = to_bf16(upper.x, upper.y);
    a[2 * eight + 1] = to_bf16(lower.x, lower.y);
  }
  CK_DEVICE static void put(uint32_t (&b)[2], int eight, float2 pair) {
    b[eight] = to_bf16(pair.x, pair.y);
  }
  CK_DEVICE static void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_m16n8k16_bf16(d, a, b);
  }
};

template <class Shape, class A, class B>
struct ProductMma;

// kDown x kAcross warps, each with kWarpRows x kWarpColumns sums.
template <class Numbers_, int kWarpRows_, int kWarpColumns_, int kDown_, int kAcross_>
struct MmaTile {
  template <class A, class B>
  using Kernel = ProductMma<MmaTile, A, B>;
  using Numbers = Numbers_;
  static constexpr int kDepth = 16, kStages = 3;
  static constexpr int kWarpRows = kWarpRows_, kWarpColumns = kWarpColumns_;
  static constexpr int kDown = kDown_, kAcross = kAcross_;
  static constexpr int kHeight = kWarpRows * kDown, kWidth = kWarpColumns * kAcross;
  static constexpr int kThreads = 32 * kDown * kAcross, kMinBlocks = 2;
};

// The tiles of a row on tensor cores.
template <class Numbers>
struct MmaTiles {
  static constexpr bool kFours = false;
  static bool available() {
    static const bool has = why_unavailable().empty() && device_info().major >= 8;
    return has;
  }
  using Wide = MmaTile<Numbers, 64, 64, 2, 2>;    // 128 x 128, 128 threads
  using Narrow = MmaTile<Numbers, 32, 64, 4, 1>;  // 128 x 64
  template <class F>
  static auto with(int64_t columns, const F& f) {
    return columns <= Narrow::kWidth ? f(Narrow{}) : f(Wide{});
  }
};

// Four numbers that are copied to shared memory in the background, or that are written there.
struct ToShared {
  float* at;

  CK_DEVICE void none() { *reinterpret_cast<float4*>(at) = make_float4(0, 0, 0, 0); }
  CK_DEVICE void four(const float* p, bool there) { cp_async<16>(at, p, there); }
  CK_DEVICE void one(int i, const float* p, bool there) { cp_async<4>(at + i, p, there); }
  CK_DEVICE void set(int i, float value) { at[i] = value; }
};

// The slices of A (kWidth rows) or B (kWidth columns) in shared memory; kPad: what rows along the
// terms are longer than these.
template <class Loader, int kWidth, int kDepth, int kThreads, int kPad>
struct StagedSlice : Quads<Loader, kWidth, kDepth, kThreads> {
  using Base = Quads<Loader, kWidth, kDepth, kThreads>;
  using Base::kLoads;
  static constexpr bool kAlong = Loader::kAlongTerms;
  static constexpr int kPitch = kAlong ? kDepth + kPad : kWidth + 4;
  static constexpr int kFloats = kPitch * (kAlong ? kWidth : kDepth);  // of a stage

  typename Loader::Line lines[kLoads] = {};

  CK_DEVICE static int place(int x, int term) {
    return kAlong ? x * kPitch + term : term * kPitch + x;
  }
  CK_DEVICE void begin(const Loader& loader, int first, int group) {
    CK_UNROLL
    for (int i = 0; i < kLoads; ++i)
      if (Base::there(i)) lines[i] = loader.line(first + Base::x_of(i), group);
  }
  CK_DEVICE void load(const Loader& loader, int term, int end, float* stage) const {
    CK_UNROLL
    for (int i = 0; i < kLoads; ++i) {
      if (!Base::there(i)) continue;
      ToShared to{stage + place(Base::x_of(i), Base::term_of(i))};
      loader.load(lines[i], term + Base::term_of(i), end, to);
    }
  }
  // Terms `term` and the one behind it, which is odd.
  CK_DEVICE static float2 pair(const float* stage, int x, int term) {
    const float* const p = stage + place(x, term);
    if constexpr (kAlong)
      return *reinterpret_cast<const float2*>(p);
    else
      return make_float2(p[0], p[kPitch]);
  }
  // The same of an even x, and of the x behind it.
  CK_DEVICE static void pairs(const float* stage, int x, int term, float2 (&v)[2]) {
    const float* const p = stage + place(x, term);
    const float2 first = *reinterpret_cast<const float2*>(p);
    const float2 second = *reinterpret_cast<const float2*>(p + kPitch);
    v[0] = kAlong ? first : make_float2(first.x, second.x);
    v[1] = kAlong ? second : make_float2(first.y, second.y);
  }
};

// C = A B for each group of a convolution, in `cut.splits` parts of the terms.
template <class Shape, class A, class B>
struct ProductMma {
  using Numbers = typename Shape::Numbers;
  static constexpr int kThreads = Shape::kThreads, kMinBlocks = Shape::kMinBlocks;
  static constexpr int kStages = Shape::kStages, kDepth = Shape::kDepth;
  using SliceA = StagedSlice<A, Shape::kHeight, kDepth, kThreads, 8>;
  using SliceB = StagedSlice<B, Shape::kWidth, kDepth, kThreads, 4>;
  static constexpr int kStageFloats = SliceA::kFloats + SliceB::kFloats;
  static constexpr int kDynamicShared = kStages * kStageFloats * static_cast<int>(sizeof(float));
  // Products of a warp: 16 rows and 8 columns each, two of them side by side.
  static constexpr int kRows = Shape::kWarpRows / 16, kColumns = Shape::kWarpColumns / 8;
  static constexpr int kPairs = kColumns / 2;
  static_assert(kDepth % Numbers::kTerms == 0 && kDynamicShared <= 99 * 1024);

  A a;
  B b;
  ProductOutput out;
  ProductCut cut;

  CK_DEVICE void operator()() const {
#if CK_CUDA_EMULATED || __CUDA_ARCH__ >= 800
    CK_DYN_SHARED(float, shared);
    const auto [group, split, top, left, begin, end] = cut.place<Shape>();
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int row = warp / Shape::kAcross * Shape::kWarpRows + lane / 4;
    const int column = warp % Shape::kAcross * Shape::kWarpColumns;

    SliceA slices_a;
    SliceB slices_b;
    slices_a.begin(a, top, group);
    slices_b.begin(b, left, group);
    float sums[kRows][kColumns][4] = {};
    int next = 0;  // stage
    for (int term = begin - (kStages - 1) * kDepth; term < end; term += kDepth) {
      cp_async_wait<kStages - 2>();
      __syncthreads();  // and nobody reads any more what comes next
      const int ahead = term + (kStages - 1) * kDepth;
      if (ahead < end) {
        float* const to = shared + next * kStageFloats;
        slices_a.load(a, ahead, end, to);
        slices_b.load(b, ahead, end, to + SliceA::kFloats);
      }
      cp_async_commit();
      if (++next == kStages) next = 0;  // the one that has waited longest
      const float* const from = shared + next * kStageFloats;
      if (term >= begin)
        multiply(from, from + SliceA::kFloats, row, column + lane / 4 * 2, lane % 4 * 2, sums);
    }
    finish(sums, top + row, left + column + lane % 4 * 4, group, split);
#endif
  }

  // sums += the product of two slices: of rows from `row`, 8 apart, of two columns from `column`,
  // 16 apart, and of two terms from `term`, 8 apart.
  CK_DEVICE static void multiply(const float* from_a, const float* from_b, int row, int column,
                                 int term, float (&sums)[kRows][kColumns][4]) {
    CK_UNROLL
    for (int t = 0; t < kDepth; t += Numbers::kTerms) {
      uint32_t v[kColumns][2];
      CK_UNROLL
      for (int j = 0; j < kPairs; ++j) {
        CK_UNROLL
        for (int e = 0; e < Numbers::kTerms / 8; ++e) {
          float2 both[2];
          SliceB::pairs(from_b, column + j * 16, term + t + e * 8, both);
          Numbers::put(v[2 * j], e, both[0]);
          Numbers::put(v[2 * j + 1], e, both[1]);
        }
      }
      CK_UNROLL
      for (int i = 0; i < kRows; ++i) {
        uint32_t u[4];
        CK_UNROLL
        for (int e = 0; e < Numbers::kTerms / 8; ++e)
          Numbers::put(u, e, SliceA::pair(from_a, row + i * 16, term + t + e * 8),
                       SliceA::pair(from_a, row + i * 16 + 8, term + t + e * 8));
        CK_UNROLL
        for (int j = 0; j < kColumns; ++j) Numbers::multiply(sums[i][j], u, v[j]);
      }
    }
  }

  // Calls store(row, column, four sums) for all sums of a lane, in a loop through which they move
  // up by kStep of its rows, which are 8 apart: written out for each, what store() does would be
  // most of the kernel.
  template <int kStep, class Store>
  CK_DEVICE static void each_four(float (&sums)[kRows][kColumns][4], int row, int column,
                                  const Store& store) {
    CK_ROLLED
    for (int i = 0; i < 2 * kRows; i += kStep) {
      CK_UNROLL
      for (int h = 0; h < kStep; ++h) CK_UNROLL
      for (int j = 0; j < kPairs; ++j) {
        const float *const u = sums[0][2 * j] + 2 * h, *const v = sums[0][2 * j + 1] + 2 * h;
        store(row + 8 * (i + h), column + 16 * j, make_float4(u[0], v[0], u[1], v[1]));
      }
      CK_UNROLL
      for (int r = 0; r < 2 * kRows - kStep; ++r) CK_UNROLL
      for (int j = 0; j < kColumns; ++j) CK_UNROLL
      for (int c = 0; c < 2; ++c) {
        const int from = r + kStep;
        sums[r / 2][j][r % 2 * 2 + c] = sums[from / 2][j][from % 2 * 2 + c];
      }
    }
  }

  CK_DEVICE void finish(float (&sums)[kRows][kColumns][4], int row, int column, int group,
                        int split) const {
    if (cut.splits > 1)
      each_four<2>(sums, row, column, [&](int r, int c, const float4& four) {
        out.store_part(r, c, group, split, four);
      });
    else if (out.cheap())
      each_four<2>(sums, row, column,
                   [&](int r, int c, const float4& four) { out.store<true>(r, c, group, four); });
    else
      each_four<1>(sums, row, column,
                   [&](int r, int c, const float4& four) { out.store<false>(r, c, group, four); });
  }
};

}  // namespace convkit::cuda
