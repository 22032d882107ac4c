#include "gemm/tree_sum.h"
#include "ops/penalty/penalty_formula.h"

namespace convkit::CK_ISA {
namespace {

struct Sums {
  double absolute = 0, squares = 0;
};

// The sums over n values, and their derivatives to or onto `d`, where there is one.
template <bool kAdd, class T>
CK_INLINE Sums penalise(const Slopes<T>& s, int64_t n, const T* __restrict x, T* __restrict d) {
  double absolute[kSumLanes] = {}, squares[kSumLanes] = {};
  const auto take = [&](int64_t i, int lane) {
    const double v = static_cast<double>(x[i]);
    absolute[lane] += v < 0 ? -v : v;
    squares[lane] += v * v;
    if (d) d[i] = (kAdd ? d[i] : T(0)) + s(x[i]);
  };
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
    for (int l = 0; l < kSumLanes; ++l) take(i + l, l);
  }
  for (int l = 0; i < n; ++i, ++l) take(i, l);
  return {sum_of_lanes(absolute), sum_of_lanes(squares)};
}

template <bool kAdd>
void naive(const Call& call, const Tensor& total, const Tensor* derivatives) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Slopes<T> s(call.as<PenaltyParams>());
    const T* const x = call[0].as<T>();
    T* const d = derivatives ? derivatives->as<T>() : nullptr;
    Sums sums;
    for (int64_t i = 0; i < call[0].size(); ++i) {
      const double v = static_cast<double>(x[i]);
      sums.absolute += v < 0 ? -v : v;
      sums.squares += v * v;
      if (d) d[i] = (kAdd ? d[i] : T(0)) + s(x[i]);
    }
    *total.as<double>() = total_penalty(call.as<PenaltyParams>(), sums.absolute, sums.squares);
  });
}

template <bool kAdd>
void simd(const Call& call, const Tensor& total, const Tensor* derivatives) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Slopes<T> s(call.as<PenaltyParams>());
    const T* const x = call[0].as<T>();
    T* const d = derivatives ? derivatives->as<T>() : nullptr;
    double* const parts = reinterpret_cast<double*>(call.workspace);  // two of each chunk
    const Chunks chunks{call[0].size(), kPenaltyChunk};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      const int64_t at = chunks.begin(chunk), n = chunks.end(chunk) - at;
      const Sums sums = penalise<kAdd>(s, n, x + at, d ? d + at : nullptr);
      parts[2 * chunk] = sums.absolute;
      parts[2 * chunk + 1] = sums.squares;
    });
    double sums[2];
    tree_sum(call.pool, parts, chunks.count(), 2, 2, sums);
    *total.as<double>() = total_penalty(call.as<PenaltyParams>(), sums[0], sums[1]);
  });
}

}  // namespace

void penalty_naive_forward(const Call& call) { naive<false>(call, call[1], nullptr); }
void penalty_naive_backward(const Call& call) { naive<false>(call, call[1], &call[2]); }
void penalty_naive_accumulate(const Call& call) { naive<true>(call, call[2], &call[1]); }

void penalty_simd_forward(const Call& call) { simd<false>(call, call[1], nullptr); }
void penalty_simd_backward(const Call& call) { simd<false>(call, call[1], &call[2]); }
void penalty_simd_accumulate(const Call& call) { simd<true>(call, call[2], &call[1]); }

}  // namespace convkit::CK_ISA
