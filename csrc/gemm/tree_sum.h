// Adds up the partial results of a reduction that was cut into lanes or into parts. For kernel
// sources only (core/isa.h).
#pragma once

#include "core/kernel.h"

namespace convkit::CK_ISA {

// Partial sums of one thread: as many as keep the vector units busy, in an order that does not
// depend on how wide these are. Value i of a chunk goes into lane i % kSumLanes.
constexpr int kSumLanes = 16;

// The sum of the lanes, in the order of a binary tree. Destroys them.
CK_INLINE double sum_of_lanes(double (&lanes)[kSumLanes]) {
  for (int width = kSumLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  }
  return lanes[0];
}

// sum[i] = a[i] + a[stride+i] + ... over `parts` vectors of n values, in the fixed order of a
// binary tree: ((0+1)+(2+3))+... Destroys a. No parts: zeros.
template <class T>
void tree_sum(ThreadPool* pool, T* a, int64_t parts, int64_t stride, int64_t n, T* sum) {
  const Chunks chunks{n, 1024};
  pool->parallel_for(chunks.count(), [=](int64_t chunk, int) {
    const int64_t begin = chunks.begin(chunk), end = chunks.end(chunk);
    for (int64_t step = 1; step < parts; step *= 2) {
      for (int64_t part = 0; part + step < parts; part += 2 * step) {
        T* const to = a + part * stride;
        const T* const from = to + step * stride;
        for (int64_t i = begin; i < end; ++i) to[i] += from[i];
      }
    }
    for (int64_t i = begin; i < end; ++i) sum[i] = parts > 0 ? a[i] : T(0);
  });
}

}  // namespace convkit::CK_ISA
