// The kernels of loss, best first.
#include "ops/loss/loss.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(loss_simd_forward)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(loss_naive_forward)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(loss_simd_backward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(loss_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_CHOICE(LossParams, kind, kLossNames),
    CK_FIELD(LossParams, label_smoothing),
    CK_FIELD(LossParams, scale),
};

}  // namespace

extern const OpTable loss_table = {"loss", rows, fields, sizeof(LossParams)};

}  // namespace convkit
