#include "ops/lrn/lrn_formula.h"

namespace convkit::CK_ISA {

void lrn_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LrnWindows<T> windows(call[0], call.as<LrnParams>());
    for (int64_t i = 0; i < call[0].size(); ++i) {
      call[1].as<T>()[i] = windows.x[i] * power(windows.denominator(i), windows.exponent);
    }
  });
}

void lrn_naive_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LrnWindows<T> windows(call[1], call.as<LrnParams>());
    const T* dy = call[0].as<T>();
    for (int64_t i = 0; i < call[0].size(); ++i) {
      T sum = 0;
      windows.each(i, true, [&](int64_t j) {
        const T d = windows.denominator(j);
        sum += windows.given(j, dy[j], d, power(d, windows.exponent));
      });
      const T scale = power(windows.denominator(i), windows.exponent);
      call[2].as<T>()[i] = dy[i] * scale - windows.slope(i) * sum;
    }
  });
}

}  // namespace convkit::CK_ISA
