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

// The penalty of n values, and their derivatives to or onto `d`, where there is one. In lanes, so
// that the compiler may use vectors without changing the order of the sums.
template <bool kAdd, class T>
CK_INLINE Sums penalise(const Slopes<T>& s, int64_t n, const T* __restrict x, T* __restrict d) {
  constexpr int kLanes = 16;
  double absolute[kLanes] = {}, squares[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const double v = static_cast<double>(x[i + l]);
      absolute[l] += v < 0 ? -v : v;
      squares[l] += v * v;
      if (d) d[i + l] = (kAdd ? d[i + l] : T(0)) + derivative(s, x[i + l]);
    }
  }
  for (int l = 0; i < n; ++i, ++l) {
    const double v = static_cast<double>(x[i]);
    absolute[l] += v < 0 ? -v : v;
    squares[l] += v * v;
    if (d) d[i] = (kAdd ? d[i] : T(0)) + derivative(s, x[i]);
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) {
      absolute[l] += absolute[l + width];
      squares[l] += squares[l + width];
    }
  }
  return {absolute[0], squares[0]};
}

double total_of(const Call& call, const Sums& sums) {
  const PenaltyParams& p = call.as<PenaltyParams>();
  const double lasso = p.l1 != 0 ? p.l1 * sums.absolute : 0;
  const double ridge = p.l2 != 0 ? p.l2 * sums.squares : 0;
  return p.scale * (lasso + ridge);
}

// One chunk after the other, or all at once: the same sums in the same order.
template <bool kAdd>
void run(const Call& call, const Tensor& total, const Tensor* derivatives, bool parallel) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Slopes<T> s = slopes_of<T>(call);
    const T* const x = call[0].as<T>();
    T* const d = derivatives ? derivatives->as<T>() : nullptr;
    const Chunks chunks{call[0].size(), kPenaltyChunk};
    if (!parallel) {
      Sums all;
      for (int64_t i = 0; i < call[0].size(); ++i) {
        const double v = static_cast<double>(x[i]);
        all.absolute += v < 0 ? -v : v;
        all.squares += v * v;
        if (d) d[i] = (kAdd ? d[i] : T(0)) + derivative(s, x[i]);
      }
      *total.as<double>() = total_of(call, all);
      return;
    }
    Sums* const parts = reinterpret_cast<Sums*>(call.workspace);
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      const int64_t at = chunks.begin(chunk);
      parts[chunk] = penalise<kAdd>(s, chunks.end(chunk) - at, x + at, d ? d + at : nullptr);
    });
    for (int64_t step = 1; step < chunks.count(); step *= 2) {
      for (int64_t i = 0; i + step < chunks.count(); i += 2 * step) {
        parts[i].absolute += parts[i + step].absolute;
        parts[i].squares += parts[i + step].squares;
      }
    }
    *total.as<double>() = total_of(call, chunks.count() > 0 ? parts[0] : Sums{});
  });
}

}  // namespace

void penalty_naive_forward(const Call& call) { run<false>(call, call[1], nullptr, false); }
void penalty_naive_backward(const Call& call) { run<false>(call, call[1], &call[2], false); }
void penalty_naive_accumulate(const Call& call) { run<true>(call, call[2], &call[1], false); }

void penalty_simd_forward(const Call& call) { run<false>(call, call[1], nullptr, true); }
void penalty_simd_backward(const Call& call) { run<false>(call, call[1], &call[2], true); }
void penalty_simd_accumulate(const Call& call) { run<true>(call, call[2], &call[1], true); }

}  // namespace convkit::CK_ISA
