// Loops over long rows (core/long_rows.h), and sums over the rows of each channel. For kernel
// sources only (core/isa.h).
#pragma once

#include "core/long_rows.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {

// A whole vector, and the last of an array, of which only n lanes are there.
template <class T>
struct Whole {
  CK_INLINE Vec<T> load(const T* p) const { return Vec<T>::loadu(p); }
  CK_INLINE void store(T* p, Vec<T> v) const { v.storeu(p); }
};
template <class T>
struct Part {
  int n;
  CK_INLINE Vec<T> load(const T* p) const { return Vec<T>::load_partial(p, n); }
  CK_INLINE void store(T* p, Vec<T> v) const { v.store_partial(p, n); }
};

// Calls f(i, j, at) for every vector of a chunk: it begins at value i of the array, at j of its
// long row; `at` is a Whole or a Part.
template <class T, class F>
CK_INLINE void for_long_rows(const LongRows& rows, int64_t chunk, const F& f) {
  constexpr int lanes = Vec<T>::kLanes;
  const int64_t end = rows.chunks.end(chunk);
  for (int64_t i = rows.chunks.begin(chunk); i < end; i += rows.width) {
    const int64_t n = end - i < rows.width ? end - i : rows.width;
    int64_t j = 0;
    for (; j + lanes <= n; j += lanes) f(i + j, j, Whole<T>{});
    if (j < n) f(i + j, j, Part<T>{static_cast<int>(n - j)});
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
        scratch(reinterpret_cast<T*>(
            workspace + round_up((rows.chunks.count() + 1) * kSums * rows.c * 8, 64))) {}

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
