// Totals in double over everything a kernel works on, in an order that the shapes decide: each
// block adds up its own, and where there are several a second kernel of one block adds up theirs.
#pragma once

#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "cuda/reduce.cuh"

namespace convkit::cuda {

constexpr int kTotalsThreads = 256;

// Called by all threads of a block, at the end: their sums go to this block's place.
template <int kSums>
CK_DEVICE void add_up_block(const double (&sums)[kSums], double* to) {
  CK_UNROLL
  for (int i = 0; i < kSums; ++i) {
    const double sum = block_sum<kTotalsThreads>(sums[i]);
    if (threadIdx.x == 0) to[int64_t{blockIdx.x} * kSums + i] = sum;
  }
}

template <int kSums>
struct AddUpBlocks {
  static constexpr int kThreads = kTotalsThreads;
  const double* partial;
  double* to;
  int64_t blocks;

  CK_DEVICE void operator()() const {
    double sums[kSums] = {};
    for (int64_t block = threadIdx.x; block < blocks; block += kThreads) CK_UNROLL
    for (int i = 0; i < kSums; ++i) sums[i] += partial[block * kSums + i];
    add_up_block(sums, to);
  }
};

inline int64_t totals_bytes(int64_t blocks, int sums) {
  return blocks > 1 ? round_up(blocks * sums * int64_t{sizeof(double)}, 64) : 0;
}

// Launches kernel(where its blocks' sums go), and what adds them up to `to`. The workspace begins
// with the blocks' sums.
template <int kSums, class F>
void launch_totals(const Call& call, unsigned blocks, double* to, const F& kernel) {
  double* const partial = blocks > 1 ? reinterpret_cast<double*>(call.workspace) : to;
  launch(call, dim3(blocks), kernel(partial));
  if (blocks > 1) launch(call, dim3(1), AddUpBlocks<kSums>{partial, to, blocks});
}

}  // namespace convkit::cuda
