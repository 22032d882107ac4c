// loss, vectorised: the kinds that a whole row goes into. Each formula once, for the two layouts of
// simd/rows.h.
#include "ops/loss/loss_simd.h"

namespace convkit::CK_ISA {
namespace {

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
    const auto [q, outside] = Clipped<T>(p(at) / sum);
    const V t = target(block, at);
    loss = fma(-t, log(q), loss);
    inside += select(outside, V::zero(), t);
  });
  if constexpr (gradient) {
    inside = block.sum(inside);
    const V factor = scale / sum;
    block.each([&](auto at) {
      const auto [q, outside] = Clipped<T>(p(at) / sum);
      const V own = select(outside, V::zero(), target(block, at) / q);
      dp.set(at, factor * (inside - own));
    });
  }
  return block.sum(loss);
}

// alpha of each class, of a focal loss.
template <class T>
struct Alpha {
  const T* values;  // null: one for all
  Vec<T> all;

  CK_INLINE Vec<T> operator()(const Across<T>&, typename Across<T>::At at) const {
    return values ? Vec<T>(values[at.k]) : all;
  }
  template <class At>
  CK_INLINE Vec<T> operator()(const Along<T>&, At at) const {
    return values ? Vec<T>::loadu(values + at.j) : all;
  }
};

// (1-q)^gamma L and g = -q d/dq of it, where L = -log q and `other` = 1 - q, known more exactly.
template <class T>
struct Focal {
  Vec<T> loss, slope;

  CK_INLINE Focal(Vec<T> q, Vec<T> other, Vec<T> l, Vec<T> gamma) {
    const Vec<T> one = T(1), factor = power<T>(other, gamma);
    const Vec<T> ratio = select(other > Vec<T>::zero(), l / other, one);
    loss = factor * l;
    slope = factor * fma(gamma * q, ratio, one);
  }
};

template <bool gradient, class T, class Block, class Target, class Out>
CK_INLINE Vec<T> softmax_focal(const Block& block, const typename Block::In& p,
                               const Target& target, Vec<T> scale, Out& dp, const Alpha<T>& alpha,
                               Vec<T> gamma) {
  using V = Vec<T>;
  constexpr T low = -static_cast<T>(__builtin_inf());
  const V zero = T(0);
  V m = low;
  block.each([&](auto at) { m = max_or_second(m, p(at, low)); });
  m = block.max(m);
  // The sum without one largest term, which is 1: then 1 - q of a sure class does not cancel.
  V largest = T(0), rest = T(0);
  block.each([&](auto at) {
    const V z = p(at, low) - m, e = exp(z);
    const auto top = z == zero;
    largest += select(top, e, zero);
    rest += select(top, zero, e);
  });
  rest = (block.sum(largest) - T(1)) + block.sum(rest);
  const V sum = T(1) + rest, log_sum = log1p(rest);
  V loss = T(0), total = T(0);
  block.each([&](auto at) {
    const V z = p(at, low) - m, e = exp(z), t = target(block, at) * alpha(block, at);
    const auto none = t == zero;
    const V other = select(z == zero, rest, sum - e) / sum;
    const Focal<T> f(e / sum, other, log_sum - z, gamma);
    loss = fma(t, select(none, zero, f.loss), loss);
    if constexpr (gradient) {
      const V own = t * select(none, zero, f.slope);
      total += own;
      dp.set(at, own);
    }
  });
  if constexpr (gradient) {
    total = block.sum(total);
    const V share = total / sum;
    block.each([&](auto at) { dp.set(at, scale * fma(exp(p(at, low) - m), share, -dp(at))); });
  }
  return block.sum(loss) + (log_sum - log_sum);  // NaN in a row of NaN, whatever t is
}

template <bool gradient, class T, class Block, class Target, class Out>
CK_INLINE Vec<T> focal_cross_entropy(const Block& block, const typename Block::In& p,
                                     const Target& target, Vec<T> scale, Out& dp,
                                     const Alpha<T>& alpha, Vec<T> gamma) {
  using V = Vec<T>;
  V sum = T(0);
  block.each([&](auto at) { sum += p(at); });
  sum = block.sum(sum);
  V loss = T(0), inside = T(0);
  block.each([&](auto at) {
    const auto [q, outside] = Clipped<T>(p(at) / sum);
    const V t = target(block, at) * alpha(block, at);
    const Focal<T> f(q, T(1) - q, -log_call<T>(q), gamma);
    loss = fma(t, f.loss, loss);
    if constexpr (gradient) {
      const V own = select(outside, V::zero(), t * f.slope);
      inside += own;
      dp.set(at, own / q);
    }
  });
  if constexpr (gradient) {
    inside = block.sum(inside);
    const V factor = scale / sum;
    block.each([&](auto at) { dp.set(at, factor * (inside - dp(at))); });
  }
  return block.sum(loss);
}

template <bool gradient, class T, class Block, class Target, class Out>
CK_INLINE Vec<T> categorical_hinge(const Block& block, const typename Block::In& p,
                                   const Target& target, Vec<T> scale, Out& dp) {
  using V = Vec<T>;
  const V zero = T(0), one = T(1), low = -static_cast<T>(__builtin_inf());
  V largest = low, own = T(0);
  block.each([&](auto at) {
    const V t = target(block, at), x = p(at);
    largest = max(largest, block.only(at, (one - t) * x, low));
    own = fma(t, x, own);
  });
  largest = block.max(largest);
  const V margin = (largest - block.sum(own)) + one;
  if constexpr (gradient) {
    V count = T(0);
    block.each([&](auto at) {
      const V other = (one - target(block, at)) * p(at);
      count += block.only(at, select(other == largest, one, zero), zero);
    });
    count = block.sum(count);
    block.each([&](auto at) {
      const V t = target(block, at), other = one - t;
      const V share = select(other * p(at) == largest, other / count, zero);
      const V none = select(margin == margin, zero, margin);
      dp.set(at, select(margin > zero, scale * (share - t), none));
    });
  }
  return max_or_second(zero, margin);
}

template <bool gradient, class T, class Block, class Target, class Out>
CK_INLINE Vec<T> cosine_similarity(const Block& block, const typename Block::In& p,
                                   const Target& target, Vec<T> scale, Out& dp) {
  using V = Vec<T>;
  const V least = static_cast<T>(kClip), one = T(1);
  V pp = T(0), tt = T(0), pt = T(0);
  block.each([&](auto at) {
    const V x = p(at), t = target(block, at);
    pp = fma(x, x, pp);
    tt = fma(t, t, tt);
    pt = fma(x, t, pt);
  });
  const V p_norm = sqrt(block.sum(pp)), t_norm = sqrt(block.sum(tt));
  const V shrink = one / max_or_second(least, p_norm);
  const V both = shrink / max_or_second(least, t_norm), cosine = block.sum(pt) * both;
  if constexpr (gradient) {
    const V back = select(p_norm < least, V::zero(), cosine * shrink * shrink);
    block.each([&](auto at) { dp.set(at, scale * fma(back, p(at), -(target(block, at) * both))); });
  }
  return -cosine;
}

// Not inlined: one function of all kinds would be too large for the compiler to optimise well.
template <Loss kind, bool gradient, class T, class Block, class Target>
__attribute__((noinline)) void run_kind(const Call& call, const Block& block,
                                        const Target& target) {
  using V = Vec<T>;
  run_block<gradient, T>(call, block, target, [&](const auto& p, const auto& t, V scale, auto& dp) {
    const LossParams& params = call.as<LossParams>();
    const Alpha<T> alpha{call[3].as<const T>(), V(static_cast<T>(params.alpha))};
    const V gamma = static_cast<T>(params.gamma);
    if constexpr (kind == Loss::softmax_cross_entropy) {
      return softmax_cross_entropy<gradient, T>(block, p, t, scale, dp);
    } else if constexpr (kind == Loss::cross_entropy) {
      return cross_entropy<gradient, T>(block, p, t, scale, dp);
    } else if constexpr (kind == Loss::softmax_focal_cross_entropy) {
      return softmax_focal<gradient, T>(block, p, t, scale, dp, alpha, gamma);
    } else if constexpr (kind == Loss::focal_cross_entropy) {
      return focal_cross_entropy<gradient, T>(block, p, t, scale, dp, alpha, gamma);
    } else if constexpr (kind == Loss::categorical_hinge) {
      return categorical_hinge<gradient, T>(block, p, t, scale, dp);
    } else {
      return cosine_similarity<gradient, T>(block, p, t, scale, dp);
    }
  });
}

template <bool gradient, Loss... kinds>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const auto run_if = [&]<Loss kind>(std::integral_constant<Loss, kind>) {
      if (static_cast<Loss>(call.as<LossParams>().kind) != kind) return;
      for_each_target<kind, T>(call, [&](const auto& block, const auto& target) {
        run_kind<kind, gradient, T>(call, block, target);
      });
    };
    (run_if(std::integral_constant<Loss, kinds>{}), ...);
    finish<T>(call, gradient);
  });
}

template <bool gradient>
void run_all(const Call& call) {
  run<gradient, Loss::softmax_cross_entropy, Loss::cross_entropy, Loss::softmax_focal_cross_entropy,
      Loss::focal_cross_entropy, Loss::categorical_hinge, Loss::cosine_similarity>(call);
}

}  // namespace

void loss_rows_forward(const Call& call) { run_all<false>(call); }
void loss_rows_backward(const Call& call) { run_all<true>(call); }

}  // namespace convkit::CK_ISA
