// The launchers of rnn's CUDA rows, for the table in rnn_cuda.cu.
#pragma once

#include "cuda/kernel.h"
#include "ops/rnn/rnn.h"

namespace convkit::cuda::rnn {

// float32 only, and few enough units: rnn_cuda_persistent.cuh.
template <Cell kCell>
void persistent_forward(const Call& call);
template <Cell kCell>
void persistent_backward(const Call& call);

// As many weights as the registers of a multiprocessor and 63 KB of its shared memory hold.
CK_INLINE constexpr int64_t persistent_units(Cell cell) { return cell == Cell::simple ? 256 : 128; }

}  // namespace convkit::cuda::rnn
