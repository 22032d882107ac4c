// Long sums of few results, for which there would be too few threads: each is split into parts of
// fixed length, whose sums go to the workspace, and a second kernel adds them up. How many parts
// there are depends on shapes alone, and their order is fixed.
#pragma once

#include "core/checked.h"
#include "cuda/kernel.h"
#include "cuda/launch.cuh"

namespace convkit::cuda {

struct Splits {
  int64_t terms = 0;   // of each sum
  int64_t length = 1;  // of each part but the last
  int64_t count = 1;

  // Parts of at least `least` terms, a multiple of `unit`, and no more of them than are wanted.
  static Splits of(int64_t terms, int64_t wanted, int64_t least, int64_t unit = 1) {
    const int64_t most = ceil_div(terms, least);
    const int64_t parts = wanted < most ? wanted : most;
    if (parts <= 1) return {terms, round_up(terms > 0 ? terms : 1, unit), 1};
    const int64_t length = round_up(ceil_div(terms, parts), unit);
    return {terms, length, ceil_div(terms, length)};
  }
  // Of the sums of all parts, where they are not the results themselves.
  int64_t workspace_bytes(int64_t results, int64_t value_bytes) const {
    return count > 1 ? checked_product(count, results, value_bytes) : 0;
  }
};

// store(i, the sum of parts[0..count)[i]), i < n. A block has 32 results; eight threads share one.
template <class T, class Store>
struct AddParts {
  static constexpr int kThreads = 256;
  const T* parts;
  int64_t count, n;
  Store store;

  CK_DEVICE void operator()() const {
    CK_SHARED(T, sums, [8][32]);
    const int lane = static_cast<int>(threadIdx.x) % 32, slice = static_cast<int>(threadIdx.x) / 32;
    const int64_t i = int64_t{blockIdx.x} * 32 + lane;
    T sum = 0;
    if (i < n)
      for (int64_t s = slice; s < count; s += 8) sum += parts[s * n + i];
    sums[slice][lane] = sum;
    __syncthreads();
    if (slice != 0 || i >= n) return;
    for (int s = 1; s < 8; ++s) sum += sums[s][lane];
    store(i, sum);
  }
};

template <class T, class Store>
void add_parts(const Call& call, int64_t count, int64_t n, const Store& store) {
  launch(call, dim3(static_cast<unsigned>(ceil_div(n, 32))),
         AddParts<T, Store>{reinterpret_cast<const T*>(call.workspace), count, n, store});
}

// A gradient of weights with that of the bias, which may be absent, behind it.
template <class T>
struct StoreWeightGradient {
  T *dw, *db;
  int64_t weights;
  CK_DEVICE void operator()(int64_t i, T value) const {
    if (i < weights)
      dw[i] = value;
    else if (db != nullptr)
      db[i - weights] = value;
  }
};

// SumOf is called with a result i < n and a range of terms, and gives the sum of those.
template <class T, class SumOf, class Store>
struct SumSplit {
  SumOf sum_of;
  Store store;
  T* parts;
  int64_t n;
  Splits splits;

  CK_DEVICE void operator()(int64_t i) const {
    const int64_t split = i / n, begin = split * splits.length, end = begin + splits.length;
    const T sum = sum_of(i % n, begin, end < splits.terms ? end : splits.terms);
    if (splits.count > 1)
      parts[i] = sum;
    else
      store(i, sum);
  }
};

// store(i, sum_of(i, 0, splits.terms)) for i < n, by one thread for each part of each result.
template <class T, class SumOf, class Store>
void sum_split(const Call& call, int64_t n, const Splits& splits, const SumOf& sum_of,
               const Store& store) {
  T* const parts = reinterpret_cast<T*>(call.workspace);
  for_each(call, splits.count * n, SumSplit<T, SumOf, Store>{sum_of, store, parts, n, splits});
  if (splits.count > 1) add_parts<T>(call, splits.count, n, store);
}

// Enough threads to fill a GPU, where the sums are long.
inline Splits simple_splits(int64_t n, int64_t terms) {
  return Splits::of(terms, 65536 / (n > 0 ? n : 1), 64);
}

}  // namespace convkit::cuda
