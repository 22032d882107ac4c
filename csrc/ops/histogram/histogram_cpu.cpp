#include "ops/histogram/histogram_formula.h"

namespace convkit::CK_ISA {

void histogram_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const HistogramValues<T> of(call);
    const T* weight = call[3].as<T>();
    double* counts = call[4].as<double>();
    const int64_t group = of.grouped() ? of.cells() : 0;
    for (int64_t i = 0; i < call[4].size(); ++i) counts[i] = 0;
    for (int64_t r = 0; r < of.rows; ++r) {
      const double w = weight ? static_cast<double>(weight[r]) : 1.0;
      for (int64_t i = of.begin; i < of.end; ++i) counts[i * group + of.cell(r, i)] += w;
    }
  });
}

}  // namespace convkit::CK_ISA
