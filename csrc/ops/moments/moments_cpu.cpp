#include "ops/moments/moments.h"

namespace convkit::CK_ISA {

void moments_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* p = call[0].as<T>();
    const T* t = call[1].as<T>();
    const T* weight = call[2].as<T>();
    double* sums = call[3].as<double>();
    const int64_t rows = call[0].rows(), k = call[0].last();
    for (int64_t i = 0; i < 6 * k; ++i) sums[i] = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double w = weight ? static_cast<double>(weight[r]) : 1.0;
      if (w == 0) continue;
      for (int64_t j = 0; j < k; ++j) {
        const double target = t ? static_cast<double>(t[r * k + j]) : 0.0;
        const double error = static_cast<double>(p[r * k + j]) - target;
        sums[j] += w;
        sums[k + j] += w * target;
        sums[2 * k + j] += w * target * target;
        sums[3 * k + j] += w * error;
        sums[4 * k + j] += w * error * error;
        sums[5 * k + j] += w * (error < 0 ? -error : error);
      }
    }
  });
}

}  // namespace convkit::CK_ISA
