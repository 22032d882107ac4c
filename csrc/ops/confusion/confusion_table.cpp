// The kernels of confusion, best first.
#include "ops/confusion/confusion.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(confusion_naive_forward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(ConfusionParams, threshold),
};

}  // namespace

extern const OpTable confusion_table = {"confusion", rows, fields, sizeof(ConfusionParams)};

}  // namespace convkit
