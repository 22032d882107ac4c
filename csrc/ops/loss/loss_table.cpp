// The kernels of loss, best first.
#include "ops/loss/loss.h"

namespace convkit {
namespace {

bool takes_whole_rows(const Call& call) {
  return of_whole_rows(static_cast<Loss>(call.as<LossParams>().kind));
}
bool takes_means(const Call& call) { return !takes_whole_rows(call); }

constexpr Kernel rows[] = {
    {"forward", "cpu_rows", kFloats, CK_PER_ISA(loss_rows_forward), takes_whole_rows},
    {"forward", "cpu_means", kFloats, CK_PER_ISA(loss_means_forward), takes_means},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(loss_naive_forward)},
    {"backward", "cpu_rows", kFloats, CK_PER_ISA(loss_rows_backward), takes_whole_rows},
    {"backward", "cpu_means", kFloats, CK_PER_ISA(loss_means_backward), takes_means},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(loss_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_CHOICE(LossParams, kind, kLossNames),
    CK_FIELD(LossParams, label_smoothing),
    CK_FIELD(LossParams, scale),
    CK_FIELD(LossParams, divisor),
    CK_FIELD(LossParams, gamma),
    CK_FIELD(LossParams, alpha),
    CK_FIELD(LossParams, balanced),
    CK_FIELD(LossParams, delta),
};

}  // namespace

extern const OpTable loss_table = {"loss", rows, fields, sizeof(LossParams)};

}  // namespace convkit
