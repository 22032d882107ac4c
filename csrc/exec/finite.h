// Whether an array holds neither NaN nor infinity.
#pragma once

#include "core/tensor.h"
#include "core/thread_pool.h"

namespace convkit {

// float32 and float64; an empty array is finite. Gives up, with true, when the pool is cancelled.
bool all_finite(const Tensor& tensor, ThreadPool& pool);

}  // namespace convkit
