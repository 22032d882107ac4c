#include "core/argmax.h"
#include "ops/confusion/confusion.h"

namespace convkit::CK_ISA {

void confusion_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* p = call[0].as<T>();
    const Tensor& t = call[1];
    const T* weight = call[2].as<T>();
    double* counts = call[3].as<double>();
    const int64_t rows = call[0].rows(), k = call[0].last(), classes = k == 1 ? 2 : k;
    const T threshold = static_cast<T>(call.as<ConfusionParams>().threshold);
    for (int64_t i = 0; i < classes * classes; ++i) counts[i] = 0;
    for (int64_t r = 0; r < rows; ++r) {
      int64_t actual, predicted;
      if (k == 1) {
        actual = t.as<T>()[r] > T(0);
        predicted = p[r] > threshold;
      } else {
        actual = t.dtype == Dtype::int32 ? t.as<int32_t>()[r] : argmax(t.as<T>() + r * k, k);
        predicted = argmax(p + r * k, k);
      }
      counts[actual * classes + predicted] += weight ? static_cast<double>(weight[r]) : 1.0;
    }
  });
}

}  // namespace convkit::CK_ISA
