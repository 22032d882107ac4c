// Rows of an array [rows, K], each by a group of threads: eight lanes for a short row, a warp, or a
// whole block. Formulas of a row stand in headers that CPU kernels share (core/row_group.h).
#pragma once

#include "core/row_group.h"
#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "cuda/reduce.cuh"

namespace convkit::cuda {

constexpr int kRowThreads = 256;

template <class T>
CK_DEVICE T lowest() {
  return sizeof(T) == 4 ? static_cast<T>(-3.40282346638528860e38)
                        : static_cast<T>(-1.79769313486231571e308);
}
template <class T>
CK_DEVICE T infinity() {
  return static_cast<T>(HUGE_VAL);
}

// kWidth neighbouring threads of a block of kRowThreads.
template <int kWidth>
struct Group {
  static_assert(kWidth <= 32 || kWidth == kRowThreads);

  CK_DEVICE static int lane() { return static_cast<int>(threadIdx.x) % kWidth; }

  template <class F>
  CK_DEVICE static void each(int64_t k, const F& f) {
    for (int64_t j = lane(); j < k; j += kWidth) f(j);
  }

  // For an f that is commutative.
  template <class V, class F>
  CK_DEVICE static V combine(V value, const F& f) {
    if constexpr (kWidth <= 32) {
      return warp_reduce<kWidth>(value, f);
    } else {
      return block_reduce<kWidth>(value, f);
    }
  }

  template <class V>
  CK_DEVICE static V sum(V value) {
    return combine(value, Sum{});
  }
  template <class V>
  CK_DEVICE static V max_or_nan(V value) {
    return combine(value, Max{});
  }
  template <class V>
  CK_DEVICE static V max_of_numbers(V value) {
    return combine(value, [](V a, V b) { return a > b || b != b ? a : b; });
  }

  // As convkit::argmax.
  template <class T>
  CK_DEVICE static int64_t argmax(const T* p, int64_t k) {
    T best = -infinity<T>();
    int64_t at = k;
    each(k, [&](int64_t j) {
      if (best == best && (at == k || !(p[j] <= best))) best = p[j], at = j;
    });
    const T all = max_or_nan(best);
    const bool mine = best == all || (best != best && all != all);
    return combine(mine ? static_cast<long long>(at) : static_cast<long long>(k), Min{});
  }

  // In one pass: the sum so far is scaled where a larger value comes.
  template <class T>
  CK_DEVICE static SumOfExp<T> sum_of_exp(const T* p, int64_t k) {
    T m = lowest<T>(), sum = 0;  // not -inf: a difference of two of those is NaN
    each(k, [&](int64_t j) {
      const T x = p[j], d = x - m, e = libm::exp(-libm::abs(d));
      sum = d > 0 ? sum * e + T(1) : sum + e;
      m = d > 0 ? x : m;
    });
    const T all = max_of_numbers(m);
    sum = Group::sum(sum * libm::exp(m - all));
    const bool none = sum == 0 || all == infinity<T>();
    return {all, none ? infinity<T>() - infinity<T>() : sum};
  }
};

// Calls f(r, k) with the group's rows, in a block of kRowThreads; at the end some groups get a row
// that is another's, and a k of 0: all threads of a warp make all calls.
template <int kWidth, class F>
CK_DEVICE void for_rows(int64_t rows, int64_t k, const F& f) {
  constexpr int64_t kGroups = kRowThreads / kWidth;
  for (int64_t first = blockIdx.x * kGroups; first < rows; first += gridDim.x * kGroups) {
    const int64_t r = first + threadIdx.x / kWidth;
    f(r < rows ? r : first, r < rows ? k : 0);
  }
}

// f(width) with the width of groups for rows of k values, a std::integral_constant.
template <class F>
void choose_width(int64_t k, const F& f) {
  if (k <= 16) {
    f(std::integral_constant<int, 8>{});
  } else if (k <= 512) {
    f(std::integral_constant<int, 32>{});
  } else {
    f(std::integral_constant<int, kRowThreads>{});
  }
}

// How many blocks take an array's rows. Where only a few would be busy, and sums over the rows are
// wanted, one does, and no second kernel adds up (totals.cuh).
inline unsigned row_blocks(int64_t rows, int64_t k, bool summed) {
  int64_t groups = 1;
  choose_width(k, [&](auto width) { groups = kRowThreads / decltype(width)::value; });
  const int64_t blocks = ceil_div(rows, groups);
  if (summed && blocks <= 8) return 1;
  return static_cast<unsigned>(blocks < 4096 ? blocks : 4096);
}

}  // namespace convkit::cuda
