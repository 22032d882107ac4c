// The rows of conv2d that are products of matrices: conv2d_cuda_ffma.cu and conv2d_cuda_mma.cu have
// those of some tiles each.
#pragma once

#include "cuda/kernel.h"
#include "cuda/product_tiles.h"
#include "ops/conv2d/conv2d.h"

namespace convkit::cuda {

template <Conv2dPass pass, class Tiles>
void conv2d_product(const Call& call);
template <Conv2dPass pass, class Tiles>
bool conv2d_product_supports(const convkit::Call& call);
template <Conv2dPass pass, class Tiles>
Workspace conv2d_product_workspace(const convkit::Call& call);

}  // namespace convkit::cuda
