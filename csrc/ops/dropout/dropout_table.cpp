// The kernels of dropout, best first. Its gradient is the same product with the same mask.
#include "ops/dropout/dropout.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(dropout_simd)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(dropout_naive)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(dropout_simd)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(dropout_naive)},
};

constexpr ParamField fields[] = {
    CK_FIELD(DropoutParams, rate),
    CK_FIELD(DropoutParams, stream),
};

}  // namespace

extern const OpTable dropout_table = {"dropout", rows, fields, sizeof(DropoutParams)};

}  // namespace convkit
