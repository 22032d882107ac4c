// Sums over rows, for bias gradients. For kernel sources only (core/isa.h).
#pragma once

#include <cstdint>

namespace convkit::CK_ISA {

// sums[j] = sum_i a[i*n + j] for a contiguous a [rows, n], in an order that follows from the shape;
// with `add`, the sums are added to what is there.
template <class T>
void column_sums(const T* a, int64_t rows, int64_t n, T* sums, bool add = false) {
  // Several short rows make one long row, so that a few channels fill the vectors too.
  constexpr int64_t kBuffer = 128;
  const int64_t fold = n <= kBuffer / 2 && n > 0 ? kBuffer / n : 1;
  T buffer[kBuffer];
  T* const partial = fold > 1 ? buffer : sums;
  const int64_t width = fold * n;
  if (fold > 1 || !add) {
    for (int64_t j = 0; j < width; ++j) partial[j] = 0;
  }
  int64_t i = 0;
  for (; i + fold <= rows; i += fold) {
    const T* const row = a + i * n;
    for (int64_t j = 0; j < width; ++j) partial[j] += row[j];
  }
  if (fold == 1) return;
  for (int64_t j = 0; j < (rows - i) * n; ++j) partial[j] += a[i * n + j];
  for (int64_t j = 0; j < n; ++j) {
    T sum = add ? sums[j] : T(0);
    for (int64_t f = 0; f < fold; ++f) sum += partial[f * n + j];
    sums[j] = sum;
  }
}

}  // namespace convkit::CK_ISA
