// What the two matrices of a product are is up to loaders, for both main loops: cuda/gemm.cuh and
// cuda/mma.cuh. A loader gives four numbers at a time:
//
//   struct Loader {
//     static constexpr bool kAlongTerms;  // the four lie along the terms, else along the rows of
//                                         // A, or the columns of B
//     struct Line { ... };
//     CK_DEVICE Line line(int x, int group) const;  // of row or column x
//     template <class To>
//     CK_DEVICE void load(const Line&, int term, int end, To& to) const;  // terms before `end`
//   };
//
// x is beyond the matrix at its edge. load() calls one of these, the last two for each of the four:
//
//   to.none()           all are 0
//   to.four(p, there)   those at p, which is 16-byte aligned; 0 where they are not there
//   to.one(i, p, there)
//   to.set(i, value)
#pragma once

#include "cuda/launch.cuh"

namespace convkit::cuda {

CK_DEVICE float part(const float4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
CK_DEVICE void set_part(float4& v, int i, float value) {
  if (i == 0) v.x = value;
  if (i == 1) v.y = value;
  if (i == 2) v.z = value;
  if (i == 3) v.w = value;
}

// Four numbers that are loaded into registers.
struct ToRegisters {
  float4 v = make_float4(0, 0, 0, 0);

  CK_DEVICE void none() {}
  CK_DEVICE void four(const float* p, bool there) {
    if (there) v = *reinterpret_cast<const float4*>(p);
  }
  CK_DEVICE void one(int i, const float* p, bool there) {
    if (there) set_part(v, i, *p);
  }
  CK_DEVICE void set(int i, float value) { set_part(v, i, value); }
};

// Which four numbers of a slice, kWidth rows or columns and kDepth terms, a thread loads: the
// lanes of a warp those that lie together.
template <class Loader, int kWidth, int kDepth, int kThreads>
struct Quads {
  static constexpr int kCount = kWidth * kDepth / 4;
  static constexpr int kLoads = (kCount + kThreads - 1) / kThreads;  // of a thread
  static constexpr int kAcross = Loader::kAlongTerms ? kDepth / 4 : kWidth / 4;

  CK_DEVICE static int quad(int i) { return static_cast<int>(threadIdx.x) + i * kThreads; }
  CK_DEVICE static bool there(int i) { return kCount % kThreads == 0 || quad(i) < kCount; }
  CK_DEVICE static int x_of(int i) {
    return Loader::kAlongTerms ? quad(i) / kAcross : quad(i) % kAcross * 4;
  }
  CK_DEVICE static int term_of(int i) {
    return Loader::kAlongTerms ? quad(i) % kAcross * 4 : quad(i) / kAcross;
  }
};

}  // namespace convkit::cuda
