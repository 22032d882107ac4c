// Sums of weights by what is counted: every item has the code of a cell, and a warp adds up, in
// order, what belongs to a cell. That takes cells times items comparisons, but no sum of floating
// numbers in an order that is not known, as atomics would have it.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/reduce.cuh"

namespace convkit::cuda {

template <class T>
struct Tally {
  static constexpr int kThreads = 256;
  const int64_t* codes;  // [groups, items]: in which of its group's cells an item counts
  int64_t groups, cells, items;
  const T* weight;  // of item i at i / repeats; null: 1
  int64_t repeats;
  double* counts;  // [groups, cells]

  CK_DEVICE void operator()() const {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int64_t warp = blockIdx.x * int64_t{kThreads / 32} + threadIdx.x / 32;
    const int64_t step = gridDim.x * int64_t{kThreads / 32};
    for (int64_t at = warp; at < groups * cells; at += step) {
      const int64_t group = at / cells, cell = at - group * cells;
      double sum = 0;
      for (int64_t i = lane; i < items; i += 32) {
        if (codes[group * items + i] != cell) continue;
        sum += weight ? static_cast<double>(weight[i / repeats]) : 1.0;
      }
      sum = warp_sum(sum);
      if (lane == 0) counts[at] = sum;
    }
  }
};

template <class Call, class T>
void launch_tally(const Call& call, const Tally<T>& tally) {
  const int64_t blocks = (tally.groups * tally.cells + 7) / 8;
  launch(call, dim3(static_cast<unsigned>(blocks < 65536 ? blocks : 65536)), tally);
}

}  // namespace convkit::cuda
