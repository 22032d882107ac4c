// loss, the obvious loops: one function per kind that gives the loss of a row or of a value and,
// where it is wanted, its gradient.
#include "ops/activation/activation_apply.h"
#include "ops/loss/loss_common.h"

namespace convkit::CK_ISA {
namespace {

// t after smoothing, for a row of labels or of values; times alpha where the kind has one.
template <class T>
struct Target {
  const T* values;  // null: the row has a label
  int64_t label;
  Smoothing<T> smooth;
  const T* alphas;  // null: one for all classes
  T alpha;

  T operator[](int64_t j) const {
    const T t = values ? values[j] : static_cast<T>(j == label);
    return (smooth.keep * t + smooth.spread) * (alphas ? alphas[j] : alpha);
  }
};

template <class T>
T clip_probability(T p) {
  return clip(p, static_cast<T>(kClip), static_cast<T>(1 - kClip));
}

// u^gamma for u in [0, 1].
template <class T>
T power(T u, T gamma) {
  if (!(u > 0)) return gamma == 0;
  return libm::exp(gamma * libm::log(u));
}

template <class T>
T softmax_cross_entropy(const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  T m = p[0];
  for (int64_t j = 1; j < k; ++j) m = p[j] > m ? p[j] : m;
  T sum = 0, sum_t = 0;
  for (int64_t j = 0; j < k; ++j) {
    sum += libm::exp(p[j] - m);
    sum_t += t[j];
  }
  const T log_sum = libm::log(sum);
  T loss = 0;
  for (int64_t j = 0; j < k; ++j) {
    // A class without weight counts nothing, even at p = -inf.
    if (t[j] != 0) loss += t[j] * (log_sum - (p[j] - m));
  }
  for (int64_t j = 0; dp && j < k; ++j) {
    dp[j] = scale * (libm::exp(p[j] - m) / sum * sum_t - t[j]);
  }
  return log_sum - log_sum + loss;  // NaN in a row of NaN, whatever t is
}

template <class T>
T cross_entropy(const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  T sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += p[j];
  T loss = 0, inside = 0;  // inside: sum of t_k where q_k was not clipped
  for (int64_t j = 0; j < k; ++j) {
    const T q = p[j] / sum;
    loss -= t[j] * libm::log(clip_probability(q));
    if (!(clip_probability(q) != q && q == q)) inside += t[j];
  }
  for (int64_t j = 0; dp && j < k; ++j) {
    const T q = p[j] / sum;
    const T own = clip_probability(q) != q && q == q ? 0 : t[j] / q;
    dp[j] = scale * (inside - own) / sum;
  }
  return loss;
}

// (1-q)^gamma L and g = -q d/dq of it, where L = -log q and `other` = 1 - q, known more exactly.
template <class T>
struct Focal {
  T loss, slope;

  Focal(T q, T other, T l, T gamma) {
    const T power_of_other = power(other, gamma);
    loss = power_of_other * l;
    slope = power_of_other * (1 + gamma * q * (other > 0 ? l / other : T(1)));
  }
};

template <class T>
T softmax_focal(const T* p, const Target<T>& t, int64_t k, T gamma, T scale, T* dp) {
  T m = p[0];
  for (int64_t j = 1; j < k; ++j) m = p[j] > m ? p[j] : m;
  // The sum without one largest term, which is 1: then 1 - q of a sure class does not cancel.
  T rest = -1;
  for (int64_t j = 0; j < k; ++j) rest += p[j] == m ? libm::exp(p[j] - m) : T(0);
  for (int64_t j = 0; j < k; ++j) rest += p[j] == m ? T(0) : libm::exp(p[j] - m);
  const T sum = 1 + rest, log_sum = libm::log1p(rest);
  const auto at = [&](int64_t j) {
    const T e = libm::exp(p[j] - m);
    return Focal<T>(e / sum, p[j] == m ? rest / sum : (sum - e) / sum, log_sum - (p[j] - m), gamma);
  };
  T loss = 0, total = 0;
  for (int64_t j = 0; j < k; ++j) {
    if (t[j] == 0) continue;
    const Focal<T> f = at(j);
    loss += t[j] * f.loss;
    total += t[j] * f.slope;
  }
  for (int64_t j = 0; dp && j < k; ++j) {
    const T own = t[j] == 0 ? T(0) : t[j] * at(j).slope;
    dp[j] = scale * (libm::exp(p[j] - m) / sum * total - own);
  }
  return log_sum - log_sum + loss;
}

template <class T>
T focal_cross_entropy(const T* p, const Target<T>& t, int64_t k, T gamma, T scale, T* dp) {
  T sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += p[j];
  T loss = 0, inside = 0;
  for (int64_t j = 0; j < k; ++j) {
    const T q = clip_probability(p[j] / sum);
    const Focal<T> f(q, 1 - q, -libm::log(q), gamma);
    loss += t[j] * f.loss;
    if (!(q != p[j] / sum && q == q)) inside += t[j] * f.slope;
  }
  for (int64_t j = 0; dp && j < k; ++j) {
    const T q = clip_probability(p[j] / sum);
    const Focal<T> f(q, 1 - q, -libm::log(q), gamma);
    const T own = q != p[j] / sum && q == q ? 0 : t[j] * f.slope / q;
    dp[j] = scale * (inside - own) / sum;
  }
  return loss;
}

template <class T>
T categorical_hinge(const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  T largest = (1 - t[0]) * p[0], own = 0;
  int64_t count = 0;
  for (int64_t j = 0; j < k; ++j) {
    const T other = (1 - t[j]) * p[j];
    if (other > largest || other != other) largest = other, count = 0;
    count += other == largest;
    own += t[j] * p[j];
  }
  const T margin = largest - own + 1;
  for (int64_t j = 0; dp && j < k; ++j) {
    const T share = (1 - t[j]) * p[j] == largest ? (1 - t[j]) / static_cast<T>(count) : T(0);
    dp[j] = margin > 0 ? scale * (share - t[j]) : margin == margin ? T(0) : margin;
  }
  return margin < 0 ? T(0) : margin;
}

template <class T>
T cosine_similarity(const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  T pp = 0, tt = 0, pt = 0;
  for (int64_t j = 0; j < k; ++j) {
    pp += p[j] * p[j];
    tt += t[j] * t[j];
    pt += p[j] * t[j];
  }
  const T least = static_cast<T>(kClip);
  const T p_norm = static_cast<T>(__builtin_sqrt(static_cast<double>(pp)));
  const T t_norm = static_cast<T>(__builtin_sqrt(static_cast<double>(tt)));
  const bool short_p = p_norm < least;
  const T one = 1 / (short_p ? least : p_norm), both = one / (t_norm < least ? least : t_norm);
  const T cosine = pt * both;
  for (int64_t j = 0; dp && j < k; ++j) {
    dp[j] = scale * ((short_p ? T(0) : cosine * one * one * p[j]) - t[j] * both);
  }
  return -cosine;
}

template <class T>
T row_loss(const LossParams& params, const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  const T gamma = static_cast<T>(params.gamma);
  switch (static_cast<Loss>(params.kind)) {
    case Loss::softmax_cross_entropy:
      return softmax_cross_entropy(p, t, k, scale, dp);
    case Loss::cross_entropy:
      return cross_entropy(p, t, k, scale, dp);
    case Loss::softmax_focal_cross_entropy:
      return softmax_focal(p, t, k, gamma, scale, dp);
    case Loss::focal_cross_entropy:
      return focal_cross_entropy(p, t, k, gamma, scale, dp);
    case Loss::categorical_hinge:
      return categorical_hinge(p, t, k, scale, dp);
    default:
      return cosine_similarity(p, t, k, scale, dp);
  }
}

// f(p, t) of a kind that is a mean over the row, and df/dp.
template <class T>
struct Term {
  T loss, slope;
};

template <class T>
Term<T> sigmoid_focal(T p, T t, T gamma, const Balance<T>& balance) {
  const T e = libm::exp(-libm::abs(p)), large = 1 / (1 + e), small = e / (1 + e);
  const T q = p < 0 ? small : large, other = p < 0 ? large : small;  // sigmoid(p) and 1 - that
  const T entropy = (p < 0 ? 0 : p) - p * t + libm::log1p(e);
  const T u = t * other + (1 - t) * q, factor = (balance.base + t * balance.rise) * power(u, gamma);
  const T inner = u > 0 ? q * other / u : T(0);  // of d log u / dp
  return {factor * entropy, factor * (q - t + gamma * inner * (1 - 2 * t) * entropy)};
}

template <class T>
Term<T> binary_focal(T p, T t, T gamma, const Balance<T>& balance) {
  const T q = clip_probability(p), other = 1 - q;
  const T entropy = -(t * libm::log(q) + (1 - t) * libm::log(other));
  const T u = t * other + (1 - t) * q, factor = (balance.base + t * balance.rise) * power(u, gamma);
  const T slope = (1 - t) / other - t / q + gamma * (1 - 2 * t) / u * entropy;
  return {factor * entropy, q != p && p == p ? T(0) : factor * slope};
}

template <class T>
Term<T> squared_logarithmic_error(T p, T t) {
  const T least = static_cast<T>(kClip);
  const T d = libm::log(1 + (p < least ? least : p)) - libm::log(1 + (t < least ? least : t));
  return {d * d, p < least ? T(0) : 2 * d / (1 + p)};
}

// Near 0, log cosh d = log(1 + (e^d - 1)^2 / (2 e^d)) does not cancel.
template <class T>
Term<T> log_cosh(T d) {
  const T size = libm::abs(d), e = libm::expm1(size), u = 1 + e;
  const T loss = size < 1 ? libm::log1p(e * e / (2 * u))
                          : size - static_cast<T>(0.693147180559945309) + libm::log1p(1 / (u * u));
  return {loss, libm::tanh(d)};
}

template <class T>
Term<T> kl_divergence(T p, T t) {
  const T q = clip(p, static_cast<T>(kClip), T(1));
  t = clip(t, static_cast<T>(kClip), T(1));
  return {t * libm::log(t / q), q != p && p == p ? T(0) : -t / q};
}

template <class T>
T sign(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x;  // NaN stays
}

template <class T>
Term<T> term(const LossParams& params, const Balance<T>& balance, T p, T t) {
  const T d = p - t, least = static_cast<T>(kClip), gamma = static_cast<T>(params.gamma);
  switch (static_cast<Loss>(params.kind)) {
    case Loss::sigmoid_cross_entropy: {
      const T e = libm::exp(-libm::abs(p));
      const T sigmoid = (p < 0 ? e : 1) / (1 + e);
      return {(p < 0 ? 0 : p) - p * t + libm::log1p(e), sigmoid - t};
    }
    case Loss::binary_cross_entropy: {
      const T q = clip_probability(p), l = t * libm::log(q) + (1 - t) * libm::log(1 - q);
      return {-l, q != p && p == p ? T(0) : (1 - t) / (1 - q) - t / q};
    }
    case Loss::sigmoid_focal_cross_entropy:
      return sigmoid_focal(p, t, gamma, balance);
    case Loss::binary_focal_cross_entropy:
      return binary_focal(p, t, gamma, balance);
    case Loss::absolute_error:
      return {libm::abs(d), sign(d)};
    case Loss::absolute_percentage_error: {
      const T size = libm::abs(t), percent = 100 / (size < least ? least : size);
      return {percent * libm::abs(d), percent * sign(d)};
    }
    case Loss::squared_logarithmic_error:
      return squared_logarithmic_error(p, t);
    case Loss::huber: {
      const T delta = static_cast<T>(params.delta), near = clip(d, -delta, delta);
      return {near * (d - near / 2), near};
    }
    case Loss::log_cosh:
      return log_cosh(d);
    case Loss::poisson:
      return {p - t * libm::log(p + least), 1 - t / (p + least)};
    case Loss::kl_divergence:
      return kl_divergence(p, t);
    case Loss::hinge: {
      const T margin = 1 - t * p;
      return {margin < 0 ? 0 : margin, margin > 0 ? -t : margin == margin ? 0 : margin};
    }
    case Loss::squared_hinge: {
      const T margin = 1 - t * p, h = margin < 0 ? 0 : margin;
      return {h * h, -2 * t * h};
    }
    default:
      return {d * d, 2 * d};
  }
}

template <class T>
T mean(const LossParams& params, const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  const T divisor = params.divisor == 0 ? static_cast<T>(k) : static_cast<T>(params.divisor);
  const Balance<T> balance(params);
  T loss = 0;
  for (int64_t j = 0; j < k; ++j) {
    const Term<T> f = term(params, balance, p[j], t[j]);
    loss += f.loss;
    if (dp) dp[j] = scale * f.slope / divisor;
  }
  return loss / divisor;
}

template <bool gradient>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LossParams& params = call.as<LossParams>();
    const Loss kind = static_cast<Loss>(params.kind);
    const bool labels = call[1].dtype == Dtype::int32;
    const bool scaled = focal(kind) && over_classes(kind);
    const int64_t rows = call[0].rows(), k = call[0].last();
    const T alpha = scaled ? static_cast<T>(params.alpha) : T(1);
    Target<T> t{nullptr, 0, {kind, params.label_smoothing, k}, call[3].as<T>(), alpha};
    for (int64_t r = 0; r < rows; ++r) {
      if (labels) {
        t.label = call[1].as<int32_t>()[r];
      } else {
        t.values = call[1].as<T>() + r * k;
      }
      const T weight = call[2].present() ? call[2].as<T>()[r] : T(1);
      const T* p = call[0].as<T>() + r * k;
      T* dp = nullptr;
      if constexpr (gradient) dp = call[6].as<T>() + r * k;
      const T scale = static_cast<T>(params.scale) * weight;
      const T loss = of_whole_rows(kind) ? row_loss(params, p, t, k, scale, dp)
                                         : mean(params, p, t, k, scale, dp);
      call[4].as<T>()[r] = weight * loss;
    }
    finish<T>(call, gradient);
  });
}

}  // namespace

void loss_naive_forward(const Call& call) { run<false>(call); }
void loss_naive_backward(const Call& call) { run<true>(call); }

}  // namespace convkit::CK_ISA
