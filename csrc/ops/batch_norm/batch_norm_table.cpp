// The kernels of batch_norm, best first.
#include "core/long_rows.h"
#include "ops/batch_norm/batch_norm.h"

namespace convkit {
namespace {

int64_t item_bytes(const Call& call) { return kDtypeBytes[static_cast<int>(call[0].dtype)]; }

// Two sums, three long rows of scratch (the backward passes use two), up to four parameters.
Workspace workspace(const Call& call) {
  const LongRows rows(call[0]);
  return checked_sum(rows.sums_bytes(2, 3, item_bytes(call)), rows.wide_bytes(4, item_bytes(call)));
}

Workspace inference_workspace(const Call& call) {
  return LongRows(call[0]).wide_bytes(3, item_bytes(call));
}

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(batch_norm_simd_forward), nullptr, workspace},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(batch_norm_naive_forward)},
    {"inference", "cpu_simd", kFloats, CK_PER_ISA(batch_norm_simd_inference), nullptr,
     inference_workspace},
    {"inference", "cpu_naive", kFloats, CK_PER_ISA(batch_norm_naive_inference)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(batch_norm_simd_backward), nullptr, workspace},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(batch_norm_naive_backward)},
    {"backward_inference", "cpu_simd", kFloats, CK_PER_ISA(batch_norm_simd_backward_inference),
     nullptr, workspace},
    {"backward_inference", "cpu_naive", kFloats, CK_PER_ISA(batch_norm_naive_backward_inference)},
    {"update_moving", "cpu_naive", kFloats, CK_PER_ISA(batch_norm_naive_update_moving)},
};

constexpr ParamField fields[] = {
    CK_FIELD(BatchNormParams, epsilon),
    CK_FIELD(BatchNormParams, momentum),
};

}  // namespace

extern const OpTable batch_norm_table = {"batch_norm", rows, fields, sizeof(BatchNormParams)};

}  // namespace convkit
