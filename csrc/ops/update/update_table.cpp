// The kernels of update, best first.
#include "ops/update/update.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"sgd", "cpu_simd", kFloats, CK_PER_ISA(update_simd_sgd)},
    {"sgd", "cpu_naive", kFloats, CK_PER_ISA(update_naive_sgd)},
    {"adam", "cpu_simd", kFloats, CK_PER_ISA(update_simd_adam)},
    {"adam", "cpu_naive", kFloats, CK_PER_ISA(update_naive_adam)},
};

constexpr ParamField fields[] = {
    CK_FIELD(UpdateParams, momentum),  CK_FIELD(UpdateParams, nesterov),
    CK_FIELD(UpdateParams, beta1),     CK_FIELD(UpdateParams, beta2),
    CK_FIELD(UpdateParams, epsilon),   CK_FIELD(UpdateParams, weight_decay),
    CK_FIELD(UpdateParams, decoupled), CK_FIELD(UpdateParams, lr_scale),
};

}  // namespace

extern const OpTable update_table = {"update", rows, fields, sizeof(UpdateParams)};

}  // namespace convkit
