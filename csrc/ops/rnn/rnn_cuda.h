// The launchers of rnn's CUDA rows, for the table in rnn_cuda.cu.
#pragma once

#include "cuda/kernel.h"
#include "ops/rnn/rnn.h"

namespace convkit::cuda::rnn {

// For float32, and as many units as registers and shared memory hold: rnn_cuda_persistent.cuh.
template <Cell kCell>
bool persistent_holds(int64_t H);
template <Cell kCell>
void persistent_forward(const Call& call);
template <Cell kCell>
void persistent_backward(const Call& call);

}  // namespace convkit::cuda::rnn
