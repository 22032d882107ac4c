// Where a value counts, on any device.
#pragma once

#include "ops/histogram/histogram.h"

namespace convkit::CK_ISA {

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
CK_INLINE bool outranked(const T* p, int64_t k, int64_t i, int64_t top) {
  int64_t ahead = 0;
  for (int64_t j = 0; j < k; ++j) {
    ahead += p[j] > p[i] || (p[j] == p[i] && j < i);
    if (ahead >= top) return true;
  }
  return false;
}

// The operands of a call.
template <class T>
struct HistogramValues {
  HistogramParams params;
  int64_t rows, k, n;  // n thresholds
  int64_t begin, end;  // the columns that count
  const T *scores, *thresholds;
  const int32_t* labels;  // or values
  const T* values;

  CK_INLINE explicit HistogramValues(const convkit::Call& call)
      : params(call.as<HistogramParams>()),
        rows(call[0].rows()),
        k(call[0].last()),
        n(call[2].size()),
        begin(params.column < 0 ? 0 : params.column),
        end(params.column < 0 ? k : params.column + 1),
        scores(call[0].as<T>()),
        thresholds(call[2].as<T>()),
        labels(call[1].dtype == Dtype::int32 ? call[1].as<int32_t>() : nullptr),
        values(labels ? nullptr : call[1].as<T>()) {}

  CK_INLINE bool grouped() const { return params.column < 0 && params.per_class; }
  CK_INLINE int64_t cells() const { return 2 * (n + 1); }

  // Of the value in row r and column i: the place in its group.
  CK_INLINE int64_t cell(int64_t r, int64_t i) const {
    const T* p = scores + r * k;
    const bool positive = labels ? labels[r] == i : values[r * k + i] > T(0);
    int64_t bin = bin_of(thresholds, n, p[i]);
    if (bin && params.top_k && outranked(p, k, i, params.top_k)) bin = 0;
    return 2 * bin + positive;
  }
};

}  // namespace convkit::CK_ISA
