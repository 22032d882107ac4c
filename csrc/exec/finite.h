// Whether the numbers of an array are within bounds.
#pragma once

#include "core/tensor.h"
#include "core/thread_pool.h"

namespace convkit {

// Whether every |x| <= limit, infinity for: neither NaN nor infinite. float32 and float64; nothing
// is wrong with an empty array. Gives up, with true, when the pool is cancelled.
bool all_within(const Tensor& tensor, double limit, ThreadPool& pool);

}  // namespace convkit
