#include "core/argmax.h"
#include "ops/accuracy/accuracy.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
bool in_top(const T* p, int64_t k, int64_t label, int64_t top) {
  const bool number = p[label] == p[label];
  int64_t larger = 0;
  for (int64_t j = 0; j < k; ++j) {
    larger += number ? p[j] > p[label] : p[j] > -__builtin_inf();
    if (larger >= top) return false;
  }
  return true;
}

template <class T>
double match(const AccuracyParams& params, const T* p, const Tensor& t, int64_t row, int64_t k) {
  const T* target = t.dtype == Dtype::int32 ? nullptr : t.as<T>() + row * k;
  const T threshold = static_cast<T>(params.threshold);
  const auto label = [&] { return target ? argmax(target, k) : int64_t{t.as<int32_t>()[row]}; };
  const auto share = [&](auto hit) {
    int64_t hits = 0;
    for (int64_t j = 0; j < k; ++j) hits += hit(p[j], target[j]);
    return static_cast<double>(hits) / static_cast<double>(k);
  };
  switch (static_cast<Accuracy>(params.kind)) {
    case Accuracy::binary:
      return share([&](T a, T b) { return (a > threshold) == (b > threshold); });
    case Accuracy::equal:
      return share([](T a, T b) { return a == b; });
    case Accuracy::sparse_top_k:
    case Accuracy::categorical_top_k:
      return in_top(p, k, label(), params.top_k) ? 1.0 : 0.0;
    default:
      return argmax(p, k) == label() ? 1.0 : 0.0;
  }
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
