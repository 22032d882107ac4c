// The kernels of dense, best first.
#include "core/checked.h"
#include "ops/dense/dense.h"

namespace convkit {
namespace {

// Of backward_input: the transpose of dy in panels.
Workspace tiled_backward_input_workspace(const Call& call) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(call[1].dtype)];
  return checked_product(round_up(call[0].rows(), 64 / bytes), call[1].shape[1], bytes);
}

constexpr Kernel rows[] = {
    {"forward", "cpu_tiled", kFloats, CK_PER_ISA(dense_tiled_forward)},
    {"backward_input", "cpu_tiled", kFloats, CK_PER_ISA(dense_tiled_backward_input), nullptr,
     tiled_backward_input_workspace},
    {"backward_weight", "cpu_tiled", kFloats, CK_PER_ISA(dense_tiled_backward_weight)},
    {"backward_bias", "cpu_tiled", kFloats, CK_PER_ISA(dense_tiled_backward_bias)},
#if CK_HAVE_BLAS
    {"forward", "cpu_blas", kFloats, CK_PER_ISA(dense_blas_forward)},
    {"backward_input", "cpu_blas", kFloats, CK_PER_ISA(dense_blas_backward_input)},
    {"backward_weight", "cpu_blas", kFloats, CK_PER_ISA(dense_blas_backward_weight)},
#endif
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(dense_naive_forward)},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(dense_naive_backward_input)},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(dense_naive_backward_weight)},
    {"backward_bias", "cpu_naive", kFloats, CK_PER_ISA(dense_naive_backward_bias)},
};

constexpr ParamField fields[] = {
    CK_CHOICE(DenseParams, activation, kActivationNames),
    CK_FIELD(DenseParams, alpha),
    CK_CHOICE(DenseParams, through, kActivationNames),
    CK_FIELD(DenseParams, through_alpha),
};

}  // namespace

extern const OpTable dense_table = {"dense", rows, fields, sizeof(DenseParams)};

}  // namespace convkit
