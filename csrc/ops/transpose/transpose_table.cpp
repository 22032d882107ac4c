// The kernels of transpose, best first.
#include "ops/transpose/transpose.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_blocked", kFloats, CK_PER_ISA(transpose_blocked)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(transpose_naive)},
};

constexpr ParamField fields[] = {
    CK_FIELD(TransposeParams, axis0), CK_FIELD(TransposeParams, axis1),
    CK_FIELD(TransposeParams, axis2), CK_FIELD(TransposeParams, axis3),
    CK_FIELD(TransposeParams, axis4), CK_FIELD(TransposeParams, axis5),
};

}  // namespace

extern const OpTable transpose_table = {"transpose", rows, fields, sizeof(TransposeParams)};

}  // namespace convkit
