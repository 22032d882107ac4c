// What the vectorised kernels of loss share: targets in blocks of simd/rows.h, and the run over
// them. Outside a row t is 0 and p is 0, or -inf where it goes through exp.
#pragma once

#include "ops/loss/loss_common.h"
#include "simd/math.h"
#include "simd/rows.h"

namespace convkit::CK_ISA {

// p in [1e-7, 1 - 1e-7], or up to another end; NaN stays.
template <class T>
struct Clipped {
  Vec<T> q;
  Mask<T> outside;

  CK_INLINE explicit Clipped(Vec<T> p, T high = static_cast<T>(1 - kClip)) {
    const Vec<T> low = static_cast<T>(kClip);
    q = min_or_second(Vec<T>(high), max_or_second(low, p));
    outside = (p < low) | (p > Vec<T>(high));
  }
};

// log, not inlined for double: GCC 12 crashes when it vectorises the libm calls of two in a row.
template <class T>
__attribute__((noinline)) Vec<double> log_call(Vec<double> x) {
  return log(x);
}
template <class T>
CK_INLINE Vec<float> log_call(Vec<float> x) {
  return log(x);
}

// u^gamma for u in [0, 1]; 0^0 is 1.
template <class T>
CK_INLINE Vec<T> power(Vec<T> u, Vec<T> gamma) {
  const Vec<T> zero = T(0);
  return select(u > zero, exp(gamma * log_call<T>(u)), select(gamma == zero, Vec<T>(T(1)), zero));
}

// t of a row of values or of a label, after smoothing.
template <class T, class Block>
struct Values {
  const typename Block::In& t;  // a copy would be made on the stack
  Vec<T> keep, spread;

  template <class At>
  CK_INLINE Vec<T> operator()(const Block& block, At at) const {
    return block.only(at, fma(keep, t(at), spread), Vec<T>::zero());
  }
  CK_INLINE Vec<T> total(const Block& block) const {
    Vec<T> sum = T(0);
    block.each([&](auto at) { sum += (*this)(block, at); });
    return block.sum(sum);
  }
};
template <class T, class Block>
struct Label {
  typename Vec<T>::Int label;
  Vec<T> on, off;

  template <class At>
  CK_INLINE Vec<T> operator()(const Block& block, At at) const {
    return block.only(at, select(Mask<T>{block.index(at) == label}, on, off), Vec<T>::zero());
  }
  CK_INLINE Vec<T> total(const Block& block) const {
    return fma(off, Vec<T>(static_cast<T>(block.k - 1)), on);
  }
};

struct NoGradient {};

// Computes a block of rows with `f(p, target, scale, dp)`, which gives their unweighted losses and,
// where it is wanted, their gradient times `scale`.
template <bool gradient, class T, class Block, class Target, class F>
CK_INLINE void run_block(const Call& call, const Block& block, const Target& target, const F& f) {
  using V = Vec<T>;
  const typename Block::In p(block, call[0].as<const T>());
  const V weight = call[2].present() ? block.load_row_values(call[2].as<const T>()) : V(T(1));
  const V scale = static_cast<T>(call.as<LossParams>().scale) * weight;
  auto dp = [&] {
    if constexpr (gradient) {
      return typename Block::Out(block, call[6].as<T>());
    } else {
      return NoGradient{};
    }
  }();
  block.store_row_values(call[4].as<T>(), weight * f(p, target, scale, dp));
}

// Calls f(block, target) for all blocks.
template <Loss kind, class T, class F>
CK_INLINE void for_each_target(const Call& call, const F& f) {
  using V = Vec<T>;
  const int64_t rows = call[0].rows(), k = call[0].last();
  const Smoothing<T> smooth(kind, call.as<LossParams>().label_smoothing, k);
  if constexpr (over_classes(kind)) {
    if (call[1].dtype == Dtype::int32) {
      return for_each_block<T>(call.pool, rows, k, [&]<class Block>(const Block& block) {
        const auto labels = block.load_labels(call[1].as<const int32_t>());
        f(block, Label<T, Block>{labels, V(smooth.keep + smooth.spread), V(smooth.spread)});
      });
    }
  }
  for_each_block<T>(call.pool, rows, k, [&]<class Block>(const Block& block) {
    const typename Block::In t(block, call[1].as<const T>());
    f(block, Values<T, Block>{t, V(smooth.keep), V(smooth.spread)});
  });
}

}  // namespace convkit::CK_ISA
