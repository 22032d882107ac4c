// loss, vectorised: each formula once, for the two layouts of simd/rows.h. Outside a row t is 0
// and p is 0, or -inf where it goes through exp.
#include "ops/loss/loss.h"
#include "simd/math.h"
#include "simd/rows.h"

namespace convkit::CK_ISA {
namespace {

constexpr double kClip = 1e-7;

template <class T>
struct Clipped {
  Vec<T> q;
  Mask<T> outside;
};

template <class T>
CK_INLINE Clipped<T> clip(Vec<T> p) {
  const Vec<T> low = static_cast<T>(kClip), high = static_cast<T>(1 - kClip);
  return {min_or_second(high, max_or_second(low, p)), (p < low) | (p > high)};
}

// t of a row of values or of a label, after smoothing: t' = keep * t + spread.
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

// The loss of a block's rows, unweighted, and their gradient times `scale`. Every product that goes
// into a sum is an fma in so many words: left to the compiler, the contraction could differ between
// forward and backward, and between the layouts.

template <bool gradient, class T, class Block, class Target, class Out>
CK_INLINE Vec<T> softmax_cross_entropy(const Block& block, const typename Block::In& p,
                                       const Target& target, Vec<T> scale, Out& dp) {
  using V = Vec<T>;
  constexpr T low = -static_cast<T>(__builtin_inf());
  V m = low;
  block.each([&](auto at) { m = max_or_second(m, p(at, low)); });
  m = block.max(m);
  V sum = T(0), dot = T(0);
  block.each([&](auto at) {
    const V z = p(at, low) - m, e = exp(z), t = target(block, at);
    sum += e;
    // A class without weight counts nothing, even at p = -inf.
    dot = fma(t, select(t == V::zero(), V::zero(), z), dot);
    if constexpr (gradient) dp.set(at, e);
  });
  sum = block.sum(sum);
  const V sum_t = target.total(block);
  if constexpr (gradient) {
    const V share = sum_t / sum;
    block.each([&](auto at) { dp.set(at, scale * fma(dp(at), share, -target(block, at))); });
  }
  return fma(sum_t, log(sum), -block.sum(dot));
}

template <bool gradient, class T, class Block, class Target, class Out>
CK_INLINE Vec<T> cross_entropy(const Block& block, const typename Block::In& p,
                               const Target& target, Vec<T> scale, Out& dp) {
  using V = Vec<T>;
  V sum = T(0);
  block.each([&](auto at) { sum += p(at); });
  sum = block.sum(sum);
  V loss = T(0), inside = T(0);  // inside: sum of t_k where q_k was not clipped
  block.each([&](auto at) {
    const auto [q, outside] = clip(p(at) / sum);
    const V t = target(block, at);
    loss = fma(-t, log(q), loss);
    inside += select(outside, V::zero(), t);
  });
  if constexpr (gradient) {
    inside = block.sum(inside);
    const V factor = scale / sum;
    block.each([&](auto at) {
      const auto [q, outside] = clip(p(at) / sum);
      const V own = select(outside, V::zero(), target(block, at) / q);
      dp.set(at, factor * (inside - own));
    });
  }
  return block.sum(loss);
}

// The other kinds are a mean of l(p, t) over the row: each adds l to `loss` and gives dl/dp.
template <class T>
struct Term {
  Vec<T> loss, slope;
};

// log(1 + e) for e in [0, 1], within 3 ulp: 2 artanh(s) = 2 (s + s^3/3 + s^5/5 + ...) at
// s = e/(2+e), where the series is short. Minimax in the relative error: 5.4e-9.
CK_INLINE Vec<float> log1p_of_unit(Vec<float> e) {
  using V = Vec<float>;
  const V s = e / (2.0f + e), u = s * s;
  const V q = fma(fma(fma(V(0x1.1ed7c2p-3f), u, V(0x1.1ebd0cp-3f)), u, V(0x1.99d208p-3f)), u,
                  V(0x1.555502p-2f));
  const V twice = s + s;
  return fma(twice * u, q, twice);
}
CK_INLINE Vec<double> log1p_of_unit(Vec<double> e) { return log1p(e); }

template <class T>
CK_INLINE Term<T> sigmoid_cross_entropy(Vec<T> p, Vec<T> t, Vec<T> loss) {
  const Vec<T> zero = T(0), one = T(1);
  const Vec<T> e = exp(-abs(p));
  const Vec<T> linear = fma(-p, t, max_or_second(zero, p));
  return {loss + (linear + log1p_of_unit(e)), select(p < zero, e, one) / (one + e) - t};
}

// Not inlined: GCC 12 crashes when it vectorises the libm calls of two in a row.
__attribute__((noinline)) Vec<double> log_call(Vec<double> x) { return log(x); }
CK_INLINE Vec<float> log_call(Vec<float> x) { return log(x); }

template <class T>
CK_INLINE Term<T> binary_cross_entropy(Vec<T> p, Vec<T> t, Vec<T> loss) {
  const auto [q, outside] = clip(p);
  const Vec<T> other = T(1) - q;
  const Vec<T> l = fma(t, log_call(q), (T(1) - t) * log_call(other));
  return {loss - l, select(outside, Vec<T>::zero(), (q - t) / (q * other))};
}

template <class T>
CK_INLINE Term<T> squared_error(Vec<T> p, Vec<T> t, Vec<T> loss) {
  const Vec<T> d = p - t;
  return {fma(d, d, loss), d + d};
}

template <bool gradient, class T, class Block, class Target, class Out, class F>
CK_INLINE Vec<T> mean(const Block& block, const typename Block::In& p, const Target& target,
                      Vec<T> scale, Out& dp, const F& f) {
  const T k = static_cast<T>(block.k);
  const Vec<T> each_scale = scale / k;
  Vec<T> loss = T(0);
  block.each([&](auto at) {
    const Term<T> term = f(p(at), target(block, at), loss);
    loss = block.only(at, term.loss, loss);
    if constexpr (gradient) dp.set(at, each_scale * term.slope);
  });
  return block.sum(loss) / k;
}

struct NoGradient {};

// Not inlined: one function of all kinds would be too large for the compiler to optimise well.
template <Loss kind, bool gradient, class T, class Block, class Target>
__attribute__((noinline)) void run_block(const Call& call, const Block& block,
                                         const Target& target) {
  using V = Vec<T>;
  const typename Block::In p(block, call[0].as<const T>());
  const V weight = call[2].present() ? block.load_row_values(call[2].as<const T>()) : V(T(1));
  const V scale = static_cast<T>(call.as<LossParams>().scale) * weight;
  auto dp = [&] {
    if constexpr (gradient) {
      return typename Block::Out(block, call[5].as<T>());
    } else {
      return NoGradient{};
    }
  }();
  V loss;
  if constexpr (kind == Loss::softmax_cross_entropy) {
    loss = softmax_cross_entropy<gradient, T>(block, p, target, scale, dp);
  } else if constexpr (kind == Loss::cross_entropy) {
    loss = cross_entropy<gradient, T>(block, p, target, scale, dp);
  } else {
    loss = mean<gradient, T>(block, p, target, scale, dp, [](V x, V t, V l) {
      if constexpr (kind == Loss::sigmoid_cross_entropy) return sigmoid_cross_entropy<T>(x, t, l);
      if constexpr (kind == Loss::binary_cross_entropy) return binary_cross_entropy<T>(x, t, l);
      if constexpr (kind == Loss::squared_error) return squared_error<T>(x, t, l);
    });
  }
  block.store_row_values(call[3].as<T>(), weight * loss);
}

template <Loss kind, bool gradient, class T>
void run_kind(const Call& call) {
  using V = Vec<T>;
  const int64_t rows = call[0].rows(), k = call[0].last();
  constexpr bool binary = kind == Loss::sigmoid_cross_entropy || kind == Loss::binary_cross_entropy;
  constexpr bool takes_labels = kind == Loss::softmax_cross_entropy || kind == Loss::cross_entropy;
  const double s = kind == Loss::squared_error ? 0.0 : call.as<LossParams>().label_smoothing;
  const T keep = static_cast<T>(1 - s);
  const T spread = static_cast<T>(binary ? s / 2 : s / static_cast<double>(k));
  if constexpr (takes_labels) {
    if (call[1].dtype == Dtype::int32) {
      return for_each_block<T>(call.pool, rows, k, [&]<class Block>(const Block& block) {
        const auto labels = block.load_labels(call[1].as<const int32_t>());
        run_block<kind, gradient, T>(call, block,
                                     Label<T, Block>{labels, V(keep + spread), V(spread)});
      });
    }
  }
  for_each_block<T>(call.pool, rows, k, [&]<class Block>(const Block& block) {
    const typename Block::In t(block, call[1].as<const T>());
    run_block<kind, gradient, T>(call, block, Values<T, Block>{t, V(keep), V(spread)});
  });
}

template <bool gradient>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    switch (static_cast<Loss>(call.as<LossParams>().kind)) {
      case Loss::softmax_cross_entropy:
        run_kind<Loss::softmax_cross_entropy, gradient, T>(call);
        break;
      case Loss::cross_entropy:
        run_kind<Loss::cross_entropy, gradient, T>(call);
        break;
      case Loss::sigmoid_cross_entropy:
        run_kind<Loss::sigmoid_cross_entropy, gradient, T>(call);
        break;
      case Loss::binary_cross_entropy:
        run_kind<Loss::binary_cross_entropy, gradient, T>(call);
        break;
      case Loss::squared_error:
        run_kind<Loss::squared_error, gradient, T>(call);
        break;
    }
    // Serial, so that the order is fixed.
    const T* loss = call[3].as<const T>();
    double total = 0;
    for (int64_t r = 0; r < call[0].rows(); ++r) total += static_cast<double>(loss[r]);
    call[4].as<double>()[0] = total;
  });
}

}  // namespace

void loss_simd_forward(const Call& call) { run<false>(call); }
void loss_simd_backward(const Call& call) { run<true>(call); }

}  // namespace convkit::CK_ISA
