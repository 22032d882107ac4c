// The kernels of pad2d, best first.
#include "ops/pad2d/pad2d.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_rows", kFloats, CK_PER_ISA(pad2d_rows_forward)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(pad2d_naive_forward)},
    {"backward", "cpu_rows", kFloats, CK_PER_ISA(pad2d_rows_backward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(pad2d_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(Pad2dParams, pad_top),
    CK_FIELD(Pad2dParams, pad_bottom),
    CK_FIELD(Pad2dParams, pad_left),
    CK_FIELD(Pad2dParams, pad_right),
};

}  // namespace

extern const OpTable pad2d_table = {"pad2d", rows, fields, sizeof(Pad2dParams)};

}  // namespace convkit
