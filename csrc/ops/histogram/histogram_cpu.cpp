#include "ops/histogram/histogram.h"

namespace convkit::CK_ISA {
namespace {

// How many of n rising thresholds are less than p: by halves, in as many steps for any p, so that
// no branch depends on the data.
template <class T>
CK_INLINE int64_t bin_of(const T* thresholds, int64_t n, T p) {
  const T* at = thresholds;
  while (n > 1) {
    const int64_t half = n / 2;
    at += static_cast<int64_t>(at[half - 1] < p) * half;
    n -= half;
  }
  return at - thresholds + (n == 1 && *at < p);
}

template <class T>
bool outranked(const T* p, int64_t k, int64_t i, int64_t top) {
  int64_t ahead = 0;
  for (int64_t j = 0; j < k; ++j) {
    ahead += p[j] > p[i] || (p[j] == p[i] && j < i);
    if (ahead >= top) return true;
  }
  return false;
}

}  // namespace

void histogram_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const HistogramParams& params = call.as<HistogramParams>();
    const T* scores = call[0].as<T>();
    const Tensor& t = call[1];
    const T* thresholds = call[2].as<T>();
    const T* weight = call[3].as<T>();
    double* counts = call[4].as<double>();
    const int64_t rows = call[0].rows(), k = call[0].last(), n = call[2].size();
    const int64_t begin = params.column < 0 ? 0 : params.column;
    const int64_t end = params.column < 0 ? k : params.column + 1;
    const int64_t group = params.column < 0 && params.per_class ? 2 * (n + 1) : 0;
    for (int64_t i = 0; i < call[4].size(); ++i) counts[i] = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const T* p = scores + r * k;
      const double w = weight ? static_cast<double>(weight[r]) : 1.0;
      for (int64_t i = begin; i < end; ++i) {
        const bool positive =
            t.dtype == Dtype::int32 ? t.as<int32_t>()[r] == i : t.as<T>()[r * k + i] > T(0);
        int64_t bin = bin_of(thresholds, n, p[i]);
        if (bin && params.top_k && outranked(p, k, i, params.top_k)) bin = 0;
        counts[i * group + 2 * bin + positive] += w;
      }
    }
  });
}

}  // namespace convkit::CK_ISA
