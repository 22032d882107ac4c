// The rows of conv2d that are products of matrices (cuda/gemm.cuh), those called `large` in its
// largest tiles.
#pragma once

#include "cuda/kernel.h"
#include "ops/conv2d/conv2d.h"

namespace convkit::cuda {

template <Conv2dPass pass, bool large>
void conv2d_ffma(const Call& call);
template <Conv2dPass pass, bool large>
bool conv2d_ffma_supports(const convkit::Call& call);
template <Conv2dPass pass, bool large>
Workspace conv2d_ffma_workspace(const convkit::Call& call);

}  // namespace convkit::cuda
