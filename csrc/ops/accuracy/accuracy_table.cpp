// The kernels of accuracy, best first.
#include "ops/accuracy/accuracy.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(accuracy_naive_forward)},
};

constexpr ParamField fields[] = {
    CK_CHOICE(AccuracyParams, kind, kAccuracyNames),
    CK_FIELD(AccuracyParams, threshold),
    CK_FIELD(AccuracyParams, top_k),
};

}  // namespace

extern const OpTable accuracy_table = {"accuracy", rows, fields, sizeof(AccuracyParams)};

}  // namespace convkit
