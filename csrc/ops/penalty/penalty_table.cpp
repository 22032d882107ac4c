// The kernels of penalty, best first.
#include "ops/penalty/penalty.h"

namespace convkit {
namespace {

// Two sums for each chunk.
Workspace sums_workspace(const Call& call) {
  return ceil_div(call[0].size(), kPenaltyChunk) * int64_t{2 * sizeof(double)};
}

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(penalty_simd_forward), nullptr, sums_workspace},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(penalty_naive_forward)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(penalty_simd_backward), nullptr, sums_workspace},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(penalty_naive_backward)},
    {"accumulate", "cpu_simd", kFloats, CK_PER_ISA(penalty_simd_accumulate), nullptr,
     sums_workspace},
    {"accumulate", "cpu_naive", kFloats, CK_PER_ISA(penalty_naive_accumulate)},
};

constexpr ParamField fields[] = {
    CK_FIELD(PenaltyParams, l1),
    CK_FIELD(PenaltyParams, l2),
    CK_FIELD(PenaltyParams, scale),
};

}  // namespace

extern const OpTable penalty_table = {"penalty", rows, fields, sizeof(PenaltyParams)};

}  // namespace convkit
