// The rows of conv2d that are products of matrices in fused multiply-adds.
#include "ops/conv2d/conv2d_cuda_products.cuh"

namespace convkit::cuda {

CK_INSTANTIATE_ALL(LargeTiles)
CK_INSTANTIATE_ALL(SmallTiles)

}  // namespace convkit::cuda
