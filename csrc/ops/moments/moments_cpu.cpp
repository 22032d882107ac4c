#include "ops/moments/moments_formula.h"

namespace convkit::CK_ISA {

void moments_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* p = call[0].as<T>();
    const T* t = call[1].as<T>();
    const T* weight = call[2].as<T>();
    double* to = call[3].as<double>();
    const int64_t rows = call[0].rows(), k = call[0].last();
    for (int64_t j = 0; j < k; ++j) {
      double sums[6] = {};
      for (int64_t r = 0; r < rows; ++r) {
        const double w = weight ? static_cast<double>(weight[r]) : 1.0;
        const int64_t i = r * k + j;
        if (w != 0) add_moments(w, p[i], t ? static_cast<double>(t[i]) : 0.0, sums);
      }
      for (int s = 0; s < 6; ++s) to[s * k + j] = sums[s];
    }
  });
}

}  // namespace convkit::CK_ISA
