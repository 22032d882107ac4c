#include "gemm/tree_sum.h"
#include "ops/penalty/penalty.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
struct Slopes {
  T l1, l2;  // scale * l1, 2 * scale * l2
};

template <class T>
Slopes<T> slopes_of(const Call& call) {
  const PenaltyParams& p = call.as<PenaltyParams>();
  return {static_cast<T>(p.scale * p.l1), static_cast<T>(2 * p.scale * p.l2)};
}

// A factor of 0 must not touch x: 0 * x is NaN for an infinite x. NaN passes on.
template <class T>
CK_INLINE T derivative(const Slopes<T>& s, T x) {
  const T sign = x > 0 ? s.l1 : x < 0 ? -s.l1 : x;
  return s.l2 != 0 ? sign + s.l2 * x : sign;
}

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
    if (d) d[i] = (kAdd ? d[i] : T(0)) + derivative(s, x[i]);
  };
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
    for (int l = 0; l < kSumLanes; ++l) take(i + l, l);
  }
  for (int l = 0; i < n; ++i, ++l) take(i, l);
  return {sum_of_lanes(absolute), sum_of_lanes(squares)};
}

double total_of(const Call& call, const Sums& sums) {
  const PenaltyParams& p = call.as<PenaltyParams>();
  const double lasso = p.l1 != 0 ? p.l1 * sums.absolute : 0;
  const double ridge = p.l2 != 0 ? p.l2 * sums.squares : 0;
  return p.scale * (lasso + ridge);
}

template <bool kAdd>
void naive(const Call& call, const Tensor& total, const Tensor* derivatives) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Slopes<T> s = slopes_of<T>(call);
    const T* const x = call[0].as<T>();
    T* const d = derivatives ? derivatives->as<T>() : nullptr;
    Sums sums;
    for (int64_t i = 0; i < call[0].size(); ++i) {
      const double v = static_cast<double>(x[i]);
      sums.absolute += v < 0 ? -v : v;
      sums.squares += v * v;
      if (d) d[i] = (kAdd ? d[i] : T(0)) + derivative(s, x[i]);
    }
    *total.as<double>() = total_of(call, sums);
  });
}

template <bool kAdd>
void simd(const Call& call, const Tensor& total, const Tensor* derivatives) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Slopes<T> s = slopes_of<T>(call);
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
    *total.as<double>() = total_of(call, {sums[0], sums[1]});
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
