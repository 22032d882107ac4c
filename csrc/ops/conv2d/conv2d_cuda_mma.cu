// The rows of conv2d on tensor cores.
#include "cuda/mma.cuh"
#include "ops/conv2d/conv2d_cuda_products.cuh"

namespace convkit::cuda {

CK_INSTANTIATE_ALL(MmaTiles<Tf32>)
CK_INSTANTIATE_ALL(MmaTiles<Bf16>)

}  // namespace convkit::cuda
