#include "ops/accuracy/accuracy_formula.h"

namespace convkit::CK_ISA {

void accuracy_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const bool labels = call[1].dtype == Dtype::int32;
    const T* weight = call[2].as<T>();
    double* result = call[3].as<double>();
    const int64_t rows = call[0].rows(), k = call[0].last();
    double right = 0, all = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double w = weight ? static_cast<double>(weight[r]) : 1.0;
      const T* target = labels ? nullptr : call[1].as<T>() + r * k;
      const int64_t label = labels ? call[1].as<int32_t>()[r] : 0;
      right +=
          w * match(Alone{}, call.as<AccuracyParams>(), call[0].as<T>() + r * k, target, label, k);
      all += w;
    }
    result[0] = right;
    result[1] = all;
  });
}

}  // namespace convkit::CK_ISA
