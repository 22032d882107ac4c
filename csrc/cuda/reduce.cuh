// Reductions over a warp and over a block, for float, double and integers. The order of a sum is
// fixed: a balanced tree over the lanes, then the same over the warps. So it has the same bits in
// every run, and its error grows with log2 of the number of threads.
//
// All threads of the warp or of the block take part, and all get the result. A block is kThreads
// threads, a multiple of 32. Behind a block_* function shared memory that was written before it can
// be read, and the function can be called again at once.
#pragma once

#include "cuda/runtime.h"

namespace convkit::cuda {

constexpr unsigned kWholeWarp = 0xFFFFFFFFu;

struct Sum {
  template <class T>
  CK_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};

// NaN where a or b is one, which fmax would drop.
struct Max {
  template <class T>
  CK_DEVICE T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

struct Min {
  template <class T>
  CK_DEVICE T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

// The lanes of each group of kWidth, a power of 2, reduce among themselves. `combine` must be
// commutative.
template <int kWidth = 32, class T, class F>
CK_DEVICE T warp_reduce(T value, const F& combine) {
  static_assert(kWidth >= 1 && kWidth <= 32 && (kWidth & (kWidth - 1)) == 0);
  CK_UNROLL
  for (int step = kWidth / 2; step > 0; step /= 2)
    value = combine(value, __shfl_xor_sync(kWholeWarp, value, step));
  return value;
}

template <int kWidth = 32, class T>
CK_DEVICE T warp_sum(T value) {
  return warp_reduce<kWidth>(value, Sum{});
}
template <int kWidth = 32, class T>
CK_DEVICE T warp_max(T value) {
  return warp_reduce<kWidth>(value, Max{});
}
template <int kWidth = 32, class T>
CK_DEVICE T warp_min(T value) {
  return warp_reduce<kWidth>(value, Min{});
}

template <int kThreads, class T, class F>
CK_DEVICE T block_reduce(T value, const F& combine) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  constexpr int kWarps = kThreads / 32;
  value = warp_reduce(value, combine);
  if constexpr (kWarps == 1) {
    __syncwarp();
    return value;
  } else {
    CK_SHARED(T, of_warp, [kWarps]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (lane == 0) of_warp[warp] = value;
    __syncthreads();
    // Lanes without a warp of their own have no value to add: the tree skips them.
    T total = of_warp[lane < kWarps ? lane : 0];
    CK_UNROLL
    for (int step = 1; step < kWarps; step *= 2) {
      const T other = __shfl_down_sync(kWholeWarp, total, step);
      if (lane + step < kWarps) total = combine(total, other);
    }
    total = __shfl_sync(kWholeWarp, total, 0);
    __syncthreads();
    return total;
  }
}

template <int kThreads, class T>
CK_DEVICE T block_sum(T value) {
  return block_reduce<kThreads>(value, Sum{});
}
template <int kThreads, class T>
CK_DEVICE T block_max(T value) {
  return block_reduce<kThreads>(value, Max{});
}
template <int kThreads, class T>
CK_DEVICE T block_min(T value) {
  return block_reduce<kThreads>(value, Min{});
}

}  // namespace convkit::cuda
