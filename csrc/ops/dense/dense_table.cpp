// The kernels of dense, best first.
#include "ops/dense/dense.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
#if CK_HAVE_BLAS
    {"forward", "cpu_blas", kFloats, CK_PER_ISA(dense_blas_forward)},
    {"backward_input", "cpu_blas", kFloats, CK_PER_ISA(dense_blas_backward_input)},
    {"backward_weight", "cpu_blas", kFloats, CK_PER_ISA(dense_blas_backward_weight)},
#endif
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(dense_naive_forward)},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(dense_naive_backward_input)},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(dense_naive_backward_weight)},
};

constexpr ParamField fields[] = {
    CK_CHOICE(DenseParams, activation, kActivationNames),
    CK_FIELD(DenseParams, alpha),
};

}  // namespace

extern const OpTable dense_table = {"dense", rows, fields, sizeof(DenseParams)};

}  // namespace convkit
