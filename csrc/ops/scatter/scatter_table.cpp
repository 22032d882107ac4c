// The kernels of scatter, best first.
#include "ops/scatter/scatter.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(scatter_naive_forward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(scatter_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(ScatterParams, size),
};

}  // namespace

extern const OpTable scatter_table = {"scatter", rows, fields, sizeof(ScatterParams)};

}  // namespace convkit
