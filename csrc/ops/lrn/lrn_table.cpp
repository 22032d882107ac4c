// The kernels of lrn, best first.
#include "ops/lrn/lrn_plan.h"

namespace convkit {
namespace {

template <int64_t buffers>
Workspace workspace(const Call& call) {
  const int64_t item_bytes = kDtypeBytes[static_cast<int>(call[0].dtype)];
  return LrnPlan(call[0], call.as<LrnParams>()).workspace(buffers, item_bytes);
}

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(lrn_simd_forward), nullptr,
     workspace<kLrnForwardBuffers>},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(lrn_naive_forward)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(lrn_simd_backward), nullptr,
     workspace<kLrnBackwardBuffers>},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(lrn_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(LrnParams, size),
    CK_FIELD(LrnParams, alpha),
    CK_FIELD(LrnParams, beta),
    CK_FIELD(LrnParams, k),
    CK_CHOICE(LrnParams, alpha_per, kLrnAlphaPer),
    CK_CHOICE(LrnParams, norm_region, kLrnRegions),
};

}  // namespace

extern const OpTable lrn_table = {"lrn", rows, fields, sizeof(LrnParams)};

}  // namespace convkit
