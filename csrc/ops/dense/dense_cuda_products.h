// The rows of dense that are products of matrices: dense_cuda_ffma.cu and dense_cuda_mma.cu have
// those of some tiles each.
#pragma once

#include "cuda/kernel.h"
#include "cuda/product_tiles.h"
#include "ops/dense/dense.h"

namespace convkit::cuda {

enum class DensePass { forward, backward_input, backward_weight };

template <DensePass pass, class Tiles>
void dense_product(const Call& call);
template <DensePass pass, class Tiles>
bool dense_product_supports(const convkit::Call& call);
template <DensePass pass, class Tiles>
Workspace dense_product_workspace(const convkit::Call& call);

}  // namespace convkit::cuda
