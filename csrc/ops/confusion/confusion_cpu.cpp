#include "ops/confusion/confusion_formula.h"

namespace convkit::CK_ISA {

void confusion_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const ConfusionRows<T> rows(call);
    const T* weight = call[2].as<T>();
    double* counts = call[3].as<double>();
    for (int64_t i = 0; i < rows.classes * rows.classes; ++i) counts[i] = 0;
    for (int64_t r = 0; r < rows.rows; ++r)
      counts[rows.cell(Alone{}, r, rows.k)] += weight ? static_cast<double>(weight[r]) : 1.0;
  });
}

}  // namespace convkit::CK_ISA
