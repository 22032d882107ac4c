// The kernels of histogram, best first.
#include "ops/histogram/histogram.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(histogram_naive_forward)},
};

constexpr ParamField fields[] = {
    CK_FIELD(HistogramParams, per_class),
    CK_FIELD(HistogramParams, column),
    CK_FIELD(HistogramParams, top_k),
};

}  // namespace

extern const OpTable histogram_table = {"histogram", rows, fields, sizeof(HistogramParams)};

}  // namespace convkit
