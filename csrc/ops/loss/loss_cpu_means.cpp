// loss, vectorised: the kinds that are a mean of f(p, t) over the row. Each formula once, for the
// two layouts of simd/rows.h.
#include "ops/loss/loss_simd.h"

namespace convkit::CK_ISA {
namespace {

// `sum` with f(p, t) added, and df/dp. Every product that goes into a sum is an fma in so many
// words: left to the compiler, the contraction could differ between forward and backward.
template <class T>
struct Term {
  Vec<T> sum, slope;
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
CK_INLINE Term<T> sigmoid_cross_entropy(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> zero = T(0), one = T(1);
  const Vec<T> e = exp(-abs(p));
  const Vec<T> linear = fma(-p, t, max_or_second(zero, p));
  return {sum + (linear + log1p_of_unit(e)), select(p < zero, e, one) / (one + e) - t};
}

template <class T>
CK_INLINE Term<T> binary_cross_entropy(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const auto [q, outside] = Clipped<T>(p);
  const Vec<T> other = T(1) - q;
  const Vec<T> l = fma(t, log_call<T>(q), (T(1) - t) * log_call<T>(other));
  return {sum - l, select(outside, Vec<T>::zero(), (q - t) / (q * other))};
}

template <class T>
struct FocalParams {
  Vec<T> gamma, base, rise;

  CK_INLINE explicit FocalParams(const LossParams& params) : gamma(static_cast<T>(params.gamma)) {
    const Balance<T> balance(params);
    base = balance.base;
    rise = balance.rise;
  }
};

template <class T>
CK_INLINE Term<T> sigmoid_focal(Vec<T> p, Vec<T> t, Vec<T> sum, const FocalParams<T>& params) {
  using V = Vec<T>;
  const V zero = T(0), one = T(1);
  const V e = exp(-abs(p)), large = one / (one + e), small = e * large;
  const auto negative = p < zero;
  const V q = select(negative, small, large), other = select(negative, large, small);
  const V entropy = fma(-p, t, max_or_second(zero, p)) + log1p_of_unit(e);
  const V u = fma(t, other, (one - t) * q);
  const V factor = fma(t, params.rise, params.base) * power<T>(u, params.gamma);
  const V inner = select(u > zero, q * other / u, zero);  // of d log u / dp
  const V falls = params.gamma * inner * (one - (t + t));
  return {fma(factor, entropy, sum), factor * fma(falls, entropy, q - t)};
}

template <class T>
CK_INLINE Term<T> binary_focal(Vec<T> p, Vec<T> t, Vec<T> sum, const FocalParams<T>& params) {
  using V = Vec<T>;
  const V one = T(1);
  const auto [q, outside] = Clipped<T>(p);
  const V other = one - q;
  const V entropy = -fma(t, log_call<T>(q), (one - t) * log_call<T>(other));
  const V u = fma(t, other, (one - t) * q);
  const V factor = fma(t, params.rise, params.base) * power<T>(u, params.gamma);
  const V falls = params.gamma * (one - (t + t)) / u;
  const V slope = fma(falls, entropy, (q - t) / (q * other));
  return {fma(factor, entropy, sum), select(outside, V::zero(), factor * slope)};
}

template <class T>
CK_INLINE Term<T> squared_error(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> d = p - t;
  return {fma(d, d, sum), d + d};
}

template <class T>
CK_INLINE Vec<T> sign(Vec<T> x) {
  const Vec<T> zero = T(0), one = T(1);
  return select(x > zero, one, select(x < zero, -one, x));  // NaN stays
}

template <class T>
CK_INLINE Term<T> absolute_error(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> d = p - t;
  return {sum + abs(d), sign(d)};
}

template <class T>
CK_INLINE Term<T> absolute_percentage_error(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> percent = T(100) / max_or_second(Vec<T>(static_cast<T>(kClip)), abs(t)), d = p - t;
  return {fma(percent, abs(d), sum), percent * sign(d)};
}

template <class T>
CK_INLINE Term<T> squared_logarithmic_error(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> least = static_cast<T>(kClip), one = T(1);
  const Vec<T> log_p = log_call<T>(one + max_or_second(least, p));
  const Vec<T> d = log_p - log_call<T>(one + max_or_second(least, t));
  return {fma(d, d, sum), select(p < least, Vec<T>::zero(), (d + d) / (one + p))};
}

template <class T>
CK_INLINE Term<T> huber(Vec<T> p, Vec<T> t, Vec<T> sum, Vec<T> delta) {
  const Vec<T> d = p - t, near = min_or_second(delta, max_or_second(-delta, d));
  return {fma(near, d - T(0.5) * near, sum), near};
}

// Near 0, log cosh d = log(1 + (e^d - 1)^2 / (2 e^d)) does not cancel.
template <class T>
CK_INLINE Term<T> log_cosh(Vec<T> p, Vec<T> t, Vec<T> sum) {
  using V = Vec<T>;
  const V d = p - t, size = abs(d), one = T(1);
  const V e = expm1(size), u = one + e;
  const auto small = size < one;
  const V l = log1p(select(small, e * e / (u + u), one / (u * u)));
  const V linear = size - static_cast<T>(0.693147180559945309);
  return {sum + (select(small, V::zero(), linear) + l), tanh(d)};
}

template <class T>
CK_INLINE Term<T> poisson(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> rate = p + static_cast<T>(kClip);
  return {sum + fma(-t, log_call<T>(rate), p), T(1) - t / rate};
}

template <class T>
CK_INLINE Term<T> kl_divergence(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const auto [q, outside] = Clipped<T>(p, T(1));
  const Vec<T> wanted = Clipped<T>(t, T(1)).q;
  return {fma(wanted, log(wanted / q), sum), select(outside, Vec<T>::zero(), -(wanted / q))};
}

template <class T>
CK_INLINE Term<T> hinge(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> zero = T(0), margin = fma(-t, p, Vec<T>(T(1)));
  const Vec<T> slope = select(margin > zero, -t, select(margin == margin, zero, margin));
  return {sum + max_or_second(zero, margin), slope};
}

template <class T>
CK_INLINE Term<T> squared_hinge(Vec<T> p, Vec<T> t, Vec<T> sum) {
  const Vec<T> h = max_or_second(Vec<T>(T(0)), fma(-t, p, Vec<T>(T(1))));
  return {fma(h, h, sum), T(-2) * t * h};
}

template <bool gradient, class T, class Block, class Target, class Out, class F>
CK_INLINE Vec<T> mean(const Block& block, const typename Block::In& p, const Target& target,
                      Vec<T> scale, Out& dp, double divisor, const F& f) {
  const T by = divisor == 0 ? static_cast<T>(block.k) : static_cast<T>(divisor);
  const Vec<T> each_scale = scale / by;
  Vec<T> sum = T(0);
  block.each([&](auto at) {
    const Term<T> term = f(p(at), target(block, at), sum);
    sum = block.only(at, term.sum, sum);
    if constexpr (gradient) dp.set(at, each_scale * term.slope);
  });
  return block.sum(sum) / by;
}

// Not inlined: one function of all kinds would be too large for the compiler to optimise well.
template <Loss kind, bool gradient, class T, class Block, class Target>
__attribute__((noinline)) void run_kind(const Call& call, const Block& block,
                                        const Target& target) {
  using V = Vec<T>;
  const LossParams& params = call.as<LossParams>();
  const FocalParams<T> focal(params);
  const V delta = static_cast<T>(params.delta);
  run_block<gradient, T>(call, block, target, [&](const auto& p, const auto& t, V scale, auto& dp) {
    return mean<gradient, T>(block, p, t, scale, dp, params.divisor, [&](V x, V y, V sum) {
      if constexpr (kind == Loss::sigmoid_cross_entropy) {
        return sigmoid_cross_entropy<T>(x, y, sum);
      } else if constexpr (kind == Loss::binary_cross_entropy) {
        return binary_cross_entropy<T>(x, y, sum);
      } else if constexpr (kind == Loss::sigmoid_focal_cross_entropy) {
        return sigmoid_focal<T>(x, y, sum, focal);
      } else if constexpr (kind == Loss::binary_focal_cross_entropy) {
        return binary_focal<T>(x, y, sum, focal);
      } else if constexpr (kind == Loss::absolute_error) {
        return absolute_error<T>(x, y, sum);
      } else if constexpr (kind == Loss::absolute_percentage_error) {
        return absolute_percentage_error<T>(x, y, sum);
      } else if constexpr (kind == Loss::squared_logarithmic_error) {
        return squared_logarithmic_error<T>(x, y, sum);
      } else if constexpr (kind == Loss::huber) {
        return huber<T>(x, y, sum, delta);
      } else if constexpr (kind == Loss::log_cosh) {
        return log_cosh<T>(x, y, sum);
      } else if constexpr (kind == Loss::poisson) {
        return poisson<T>(x, y, sum);
      } else if constexpr (kind == Loss::kl_divergence) {
        return kl_divergence<T>(x, y, sum);
      } else if constexpr (kind == Loss::hinge) {
        return hinge<T>(x, y, sum);
      } else if constexpr (kind == Loss::squared_hinge) {
        return squared_hinge<T>(x, y, sum);
      } else {
        return squared_error<T>(x, y, sum);
      }
    });
  });
}

template <bool gradient, Loss... kinds>
void run(const Call& call) {
  Loss kind = static_cast<Loss>(call.as<LossParams>().kind);
  if (kind == Loss::root_mean_squared_error) kind = Loss::squared_error;  // until `finish`
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const auto run_if = [&]<Loss of>(std::integral_constant<Loss, of>) {
      if (kind != of) return;
      for_each_target<of, T>(call, [&](const auto& block, const auto& target) {
        run_kind<of, gradient, T>(call, block, target);
      });
    };
    (run_if(std::integral_constant<Loss, kinds>{}), ...);
    finish<T>(call, gradient);
  });
}

template <bool gradient>
void run_all(const Call& call) {
  run<gradient, Loss::sigmoid_cross_entropy, Loss::binary_cross_entropy,
      Loss::sigmoid_focal_cross_entropy, Loss::binary_focal_cross_entropy, Loss::squared_error,
      Loss::absolute_error, Loss::absolute_percentage_error, Loss::squared_logarithmic_error,
      Loss::huber, Loss::log_cosh, Loss::poisson, Loss::kl_divergence, Loss::hinge,
      Loss::squared_hinge>(call);
}

}  // namespace

void loss_means_forward(const Call& call) { run_all<false>(call); }
void loss_means_backward(const Call& call) { run_all<true>(call); }

}  // namespace convkit::CK_ISA
