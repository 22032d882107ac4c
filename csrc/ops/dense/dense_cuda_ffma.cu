// The rows of dense that are products of matrices in fused multiply-adds.
#include "ops/dense/dense_cuda_products.cuh"

namespace convkit::cuda {

CK_INSTANTIATE_ALL(LargeTiles)
CK_INSTANTIATE_ALL(SmallTiles)

}  // namespace convkit::cuda
