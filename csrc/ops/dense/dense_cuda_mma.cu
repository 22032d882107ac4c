// The rows of dense on tensor cores.
#include "cuda/mma.cuh"
#include "ops/dense/dense_cuda_products.cuh"

namespace convkit::cuda {

CK_INSTANTIATE_ALL(MmaTiles<Tf32>)
CK_INSTANTIATE_ALL(MmaTiles<Bf16>)

}  // namespace convkit::cuda
