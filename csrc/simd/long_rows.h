// Loops over long rows (core/long_rows.h), and sums over the rows of each channel. For kernel
// sources only (core/isa.h).
#pragma once

#include "core/long_rows.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {

// Calls f(i, j, at) for every vector of a chunk: it begins at value i of the array, at j of its
// long row; `at` loads and stores as many lanes as there are at the address that it is given.
template <class T, class F>
CK_INLINE void for_long_rows(const LongRows& rows, int64_t chunk, const F& f) {
  constexpr int lanes = Vec<T>::kLanes;
  const int64_t end = rows.chunks.end(chunk);
  for (int64_t i = rows.chunks.begin(chunk); i < end; i += rows.width) {
    const int64_t n = end - i < rows.width ? end - i : rows.width;
    int64_t j = 0;
    for (; j + lanes <= n; j += lanes) f(i + j, j, WholeVector<T>{0});
    if (j < n) f(i + j, j, RestVector<T>{0, static_cast<int>(n - j)});
  }
}

// The same for the whole array, threaded.
template <class T, class F>
CK_INLINE void for_long_rows(ThreadPool* pool, const LongRows& rows, const F& f) {
  pool->parallel_for(rows.chunks.count(),
                     [&](int64_t chunk, int) { for_long_rows<T>(rows, chunk, f); });
}

// Repeats the first c values to the length of a long row.
template <class T>
void widen(const LongRows& rows, T* wide) {
  for (int64_t j = rows.c; j < rows.width; ++j) wide[j] = wide[j - rows.c];
}

template <class T>
void set_zero(T* a, int64_t n) {
  for (int64_t j = 0; j < n; ++j) a[j] = T(0);
}

// The sum of what a long row holds of channel k.
template <class T>
CK_INLINE double narrow(const LongRows& rows, const T* wide, int64_t k) {
  double sum = 0;
  for (int64_t j = k; j < rows.width; j += rows.c) sum += static_cast<double>(wide[j]);
  return sum;
}

// kSums sums over the rows of every channel, in a fixed order: within a chunk in T, in as many
// parts as a long row has rows, then in double.
template <class T, int kSums>
struct ChannelSums {
  const LongRows& rows;
  double* total;    // [kSums, c]
  double* partial;  // [chunks, kSums, c]
  T* scratch;       // [slots, wide, width]

  // In a workspace of rows.sums_bytes(kSums, wide, sizeof(T)).
  ChannelSums(const LongRows& long_rows, std::byte* workspace)
      : rows(long_rows),
        total(reinterpret_cast<double*>(workspace)),
        partial(total + kSums * rows.c),
        scratch(reinterpret_cast<T*>(workspace + rows.partial_bytes(kSums))) {}

  // terms(i, j, at, out) sets out[s] to what the vector at i adds to sum s.
  template <class F>
  CK_INLINE void add_up(ThreadPool* pool, const F& terms) {
    const auto one_chunk = [&](int64_t chunk, int slot) {
      T* const sums = scratch + slot * kSums * rows.width;
      set_zero(sums, kSums * rows.width);
      for_long_rows<T>(rows, chunk, [&](int64_t i, int64_t j, auto at) {
        Vec<T> out[kSums];
        terms(i, j, at, out);
        for (int s = 0; s < kSums; ++s) {
          T* const sum = sums + s * rows.width + j;
          at.store(sum, at.load(sum) + out[s]);
        }
      });
      for (int s = 0; s < kSums; ++s) {
        double* const to = partial + (chunk * kSums + s) * rows.c;
        for (int64_t k = 0; k < rows.c; ++k) to[k] = narrow(rows, sums + s * rows.width, k);
      }
    };
    pool->parallel_for(rows.chunks.count(), one_chunk, static_cast<int>(rows.slots()));
    const Chunks parts{kSums * rows.c, 64};
    pool->parallel_for(parts.count(), [&](int64_t part, int) {
      const int64_t begin = parts.begin(part), end = parts.end(part);
      for (int64_t k = begin; k < end; ++k) total[k] = 0;
      for (int64_t chunk = 0; chunk < rows.chunks.count(); ++chunk) {
        const double* const from = partial + chunk * kSums * rows.c;
        for (int64_t k = begin; k < end; ++k) total[k] += from[k];
      }
    });
  }
};

}  // namespace convkit::CK_ISA
