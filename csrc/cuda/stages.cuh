// How a stage is written (stages.h says what one is): a struct of plain values, as kernels are.
//
//   struct Double : StageBody {
//     static constexpr StageKind kKind = StageKind::...;
//     static constexpr unsigned kBySample = operands(0, 1);  // whose leading axis is the batch
//     static constexpr bool kHasSamplePart = true;
//     const float* x;
//     float* y;
//     int64_t length;  // of a sample
//     explicit Double(const convkit::Call& call) : ... {}
//     CK_DEVICE void sample(const Samples& s) const {
//       s.each(length, [&](int64_t i) { y[i] = 2 * x[i]; });
//     }
//   };
//
// sample() is called by all threads of a block, and nothing that other threads do is waited for
// but at __syncthreads(): stages.cu puts one behind each stage. finish(block, scratch, finite) is
// called by the kFinishThreads of a block; `finite` becomes false where a number of the operands in
// kChecked is not.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/reduce.cuh"
#include "cuda/stages.h"

namespace convkit::cuda {

// An emulated thread has its price.
constexpr int kSampleThreads = CK_CUDA_EMULATED ? 64 : 512;
constexpr int64_t kMostSampleBlocks = CK_CUDA_EMULATED ? 8 : 65536;
constexpr int kFinishThreads = 256;
constexpr int kScratchFloats = 10240;       // of shared memory, for sample parts
constexpr int kFinishScratchFloats = 4096;  // and for finish parts

// Samples [first, first + count) of the batch, those of a block. `scratch` is free at the beginning
// of each stage, and aligned for four floats.
struct Samples {
  int64_t first;
  int count;
  float* scratch;

  // f(i) for all values i of arrays that have `length` of them for each sample.
  template <class F>
  CK_DEVICE void each(int64_t length, const F& f) const {
    const int64_t end = (first + count) * length;
    for (int64_t i = first * length + threadIdx.x; i < end; i += kSampleThreads) f(i);
  }

  // f(r) by a warp for each row r, of which a sample has so many.
  template <class F>
  CK_DEVICE void each_row(int64_t rows, const F& f) const {
    const int64_t end = (first + count) * rows;
    for (int64_t r = first * rows + threadIdx.x / 32; r < end; r += kSampleThreads / 32) f(r);
  }
};

// What most stages have in common.
struct StageBody {
  static constexpr unsigned kDtypes = kFloat32;
  static constexpr bool kHasSamplePart = true;
  static constexpr unsigned kChecked = 0;

  static bool supports(const convkit::Call&) { return true; }
  static Workspace workspace(const convkit::Call&) { return 0; }
  int64_t finish_blocks() const { return 0; }
  int64_t weights() const { return 0; }
  int64_t products() const { return 0; }
  CK_DEVICE void sample(const Samples&) const {}
  CK_DEVICE void finish(int, float*, bool&) const {}
};

// Values of a sample.
inline int64_t sample_size(const Tensor& t) { return t.shape[0] ? t.size() / t.shape[0] : 0; }

template <class T>
CK_DEVICE bool is_finite(T value) {
  return value - value == 0;
}

// Sums of value(r, i), i < kSums, r < rows, by one block in a fixed order; whether they are finite.
template <int kSums, class F>
CK_DEVICE bool finish_totals(int64_t rows, double* to, const F& value) {
  double sums[kSums] = {};
  for (int64_t r = threadIdx.x; r < rows; r += kFinishThreads) CK_UNROLL
  for (int i = 0; i < kSums; ++i) sums[i] += value(r, i);
  bool finite = true;
  CK_UNROLL
  for (int i = 0; i < kSums; ++i) {
    const double sum = block_sum<kFinishThreads>(sums[i]);
    if (threadIdx.x == 0) to[i] = sum;
    finite = finite && is_finite(sum);
  }
  return finite;
}

}  // namespace convkit::cuda
