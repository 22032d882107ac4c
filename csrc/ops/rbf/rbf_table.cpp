// The kernels of rbf, best first.
#include "core/checked.h"
#include "ops/rbf/rbf.h"

namespace convkit {
namespace {

// The transpose of w in panels, each row of which is whole vectors.
Workspace transposed_bytes(const Call& call) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(call[2].dtype)];
  return checked_product(round_up(call[2].shape[0], 64 / bytes), call[2].shape[1], bytes);
}

constexpr Kernel rows[] = {
    {"distance", "cpu_tiled", kFloats, CK_PER_ISA(rbf_tiled_distance)},
    {"distance", "cpu_naive", kFloats, CK_PER_ISA(rbf_naive_distance)},
    {"backward_input", "cpu_tiled", kFloats, CK_PER_ISA(rbf_tiled_backward_input), nullptr,
     transposed_bytes},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(rbf_naive_backward_input)},
    {"backward_weight", "cpu_tiled", kFloats, CK_PER_ISA(rbf_tiled_backward_weight)},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(rbf_naive_backward_weight)},
    {"gaussian", "cpu_simd", kFloats, CK_PER_ISA(rbf_simd_gaussian)},
    {"gaussian", "cpu_naive", kFloats, CK_PER_ISA(rbf_naive_gaussian)},
    {"gaussian_backward", "cpu_simd", kFloats, CK_PER_ISA(rbf_simd_gaussian_backward)},
    {"gaussian_backward", "cpu_naive", kFloats, CK_PER_ISA(rbf_naive_gaussian_backward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(RbfParams, scale),
};

}  // namespace

extern const OpTable rbf_table = {"rbf", rows, fields, sizeof(RbfParams)};

}  // namespace convkit
