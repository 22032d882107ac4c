// The kernels of concatenate, best first. Copying runs is all there is to do, so there is one row.
#include "ops/concatenate/concatenate.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(concatenate_naive_forward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(concatenate_naive_backward)},
};

constexpr ParamField fields[] = {CK_FIELD(ConcatenateParams, axis)};

}  // namespace

extern const OpTable concatenate_table = {"concatenate", rows, fields, sizeof(ConcatenateParams)};

}  // namespace convkit
