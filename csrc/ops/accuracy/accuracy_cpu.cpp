#include "ops/accuracy/accuracy.h"

namespace convkit::CK_ISA {
namespace {

// The first of equal values wins; the first NaN ends the search. Comparisons with a NaN are false.
template <class T>
int64_t argmax(const T* p, int64_t k) {
  int64_t best = 0;
  for (int64_t j = 0; j < k; ++j) {
    if (p[j] != p[j]) return j;
    if (p[j] > p[best]) best = j;
  }
  return best;
}

template <class T>
double match(const AccuracyParams& params, const T* p, const Tensor& t, int64_t row, int64_t k) {
  if (params.kind == static_cast<int64_t>(Accuracy::sparse)) {
    return argmax(p, k) == t.as<int32_t>()[row] ? 1.0 : 0.0;
  }
  const T* target = t.as<T>() + row * k;
  if (params.kind == static_cast<int64_t>(Accuracy::categorical)) {
    return argmax(p, k) == argmax(target, k) ? 1.0 : 0.0;
  }
  const T threshold = static_cast<T>(params.threshold);
  int64_t hits = 0;
  for (int64_t j = 0; j < k; ++j) hits += (p[j] > threshold) == (target[j] > threshold);
  return static_cast<double>(hits) / static_cast<double>(k);
}

}  // namespace

void accuracy_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const AccuracyParams& params = call.as<AccuracyParams>();
    const T* p = call[0].as<T>();
    const T* weight = call[2].as<T>();
    double* result = call[3].as<double>();
    const int64_t rows = call[0].rows(), k = call[0].last();
    double right = 0, all = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double w = weight ? static_cast<double>(weight[r]) : 1.0;
      right += w * match(params, p + r * k, call[1], r, k);
      all += w;
    }
    result[0] = right;
    result[1] = all;
  });
}

}  // namespace convkit::CK_ISA
