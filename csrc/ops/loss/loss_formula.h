// The losses of a row and of a value and, where it is wanted, their gradients: one function per
// kind, for rows on any device.
#pragma once

#include "core/row_group.h"
#include "ops/activation/activation_formula.h"
#include "ops/loss/loss_common.h"

namespace convkit::CK_ISA {

// t after smoothing, for a row of labels or of values; times alpha where the kind has one.
template <class T>
struct Target {
  const T* values;  // null: the row has a label
  int64_t label;
  Smoothing<T> smooth;
  const T* alphas;  // null: one for all classes
  T alpha;

  CK_INLINE T operator[](int64_t j) const {
    const T t = values ? values[j] : static_cast<T>(j == label);
    return (smooth.keep * t + smooth.spread) * (alphas ? alphas[j] : alpha);
  }
};

// The operands of a call, and what its rows have in common.
template <class T>
struct LossRows {
  int64_t rows, k;
  LossParams params;
  const T* p;
  const int32_t* labels;  // or values
  const T *values, *weight;
  T *loss, *dp;  // dp null: not wanted
  Target<T> common;

  CK_INLINE LossRows(const convkit::Call& call, bool gradient)
      : rows(call[0].rows()),
        k(call[0].last()),
        params(call.as<LossParams>()),
        p(call[0].as<T>()),
        labels(call[1].dtype == Dtype::int32 ? call[1].as<int32_t>() : nullptr),
        values(labels ? nullptr : call[1].as<T>()),
        weight(call[2].as<T>()),
        loss(call[4].as<T>()),
        dp(gradient ? call[6].as<T>() : nullptr),
        common{nullptr, 0, {kind(), params.label_smoothing, k}, call[3].as<T>(), T(1)} {
    if (focal(kind()) && over_classes(kind())) common.alpha = static_cast<T>(params.alpha);
  }

  CK_INLINE Loss kind() const { return static_cast<Loss>(params.kind); }
  CK_INLINE Target<T> target(int64_t r) const {
    Target<T> t = common;
    if (labels) t.label = labels[r];
    if (values) t.values = values + r * k;
    return t;
  }
};

template <class T>
CK_INLINE T clip_probability(T p) {
  return clip(p, static_cast<T>(kClip), static_cast<T>(1 - kClip));
}

// u^gamma for u in [0, 1].
template <class T>
CK_INLINE T power(T u, T gamma) {
  if (!(u > 0)) return gamma == 0;
  return libm::exp(gamma * libm::log(u));
}

template <class T, class Group>
CK_ROW T softmax_cross_entropy(const Group& group, const T* p, const Target<T>& t, int64_t k,
                               T scale, T* dp) {
  const SumOfExp<T> e = group.sum_of_exp(p, k);
  T sum_t = 0;
  group.each(k, [&](int64_t j) { sum_t += t[j]; });
  sum_t = group.sum(sum_t);
  const T log_sum = libm::log(e.sum);
  T loss = 0;
  group.each(k, [&](int64_t j) {
    const T own = t[j], x = p[j] - e.max;
    // A class without weight counts nothing, even at p = -inf.
    if (own != 0) loss += own * (log_sum - x);
    if (dp) dp[j] = scale * (libm::exp(x) / e.sum * sum_t - own);
  });
  return log_sum - log_sum + group.sum(loss);  // NaN in a row of NaN, whatever t is
}

template <class T, class Group>
CK_ROW T cross_entropy(const Group& group, const T* p, const Target<T>& t, int64_t k, T scale,
                       T* dp) {
  T sum = 0;
  group.each(k, [&](int64_t j) { sum += p[j]; });
  sum = group.sum(sum);
  T loss = 0, inside = 0;  // inside: sum of t_k where q_k was not clipped
  group.each(k, [&](int64_t j) {
    const T q = p[j] / sum;
    loss -= t[j] * libm::log(clip_probability(q));
    if (!(clip_probability(q) != q && q == q)) inside += t[j];
  });
  inside = group.sum(inside);
  if (dp) {
    group.each(k, [&](int64_t j) {
      const T q = p[j] / sum;
      const T own = clip_probability(q) != q && q == q ? 0 : t[j] / q;
      dp[j] = scale * (inside - own) / sum;
    });
  }
  return group.sum(loss);
}

// (1-q)^gamma L and g = -q d/dq of it, where L = -log q and `other` = 1 - q, known more exactly.
template <class T>
struct Focal {
  T loss, slope;

  CK_INLINE Focal(T q, T other, T l, T gamma) {
    const T power_of_other = power(other, gamma);
    loss = power_of_other * l;
    slope = power_of_other * (1 + gamma * q * (other > 0 ? l / other : T(1)));
  }
};

template <class T, class Group>
CK_ROW T softmax_focal(const Group& group, const T* p, const Target<T>& t, int64_t k, T gamma,
                       T scale, T* dp) {
  T m = p[0];
  group.each(k, [&](int64_t j) { m = p[j] > m ? p[j] : m; });
  m = group.max_of_numbers(m);
  // The sum without one largest term, which is 1: then 1 - q of a sure class does not cancel.
  T equal = 0, smaller = 0;
  group.each(k, [&](int64_t j) { (p[j] == m ? equal : smaller) += libm::exp(p[j] - m); });
  const T rest = (group.sum(equal) - 1) + group.sum(smaller);
  const T sum = 1 + rest, log_sum = libm::log1p(rest);
  const auto at = [&](int64_t j) {
    const T e = libm::exp(p[j] - m);
    return Focal<T>(e / sum, p[j] == m ? rest / sum : (sum - e) / sum, log_sum - (p[j] - m), gamma);
  };
  T loss = 0, total = 0;
  group.each(k, [&](int64_t j) {
    if (t[j] == 0) return;
    const Focal<T> f = at(j);
    loss += t[j] * f.loss;
    total += t[j] * f.slope;
  });
  total = group.sum(total);
  if (dp) {
    group.each(k, [&](int64_t j) {
      const T own = t[j] == 0 ? T(0) : t[j] * at(j).slope;
      dp[j] = scale * (libm::exp(p[j] - m) / sum * total - own);
    });
  }
  return log_sum - log_sum + group.sum(loss);
}

template <class T, class Group>
CK_ROW T focal_cross_entropy(const Group& group, const T* p, const Target<T>& t, int64_t k, T gamma,
                             T scale, T* dp) {
  T sum = 0;
  group.each(k, [&](int64_t j) { sum += p[j]; });
  sum = group.sum(sum);
  T loss = 0, inside = 0;
  group.each(k, [&](int64_t j) {
    const T q = clip_probability(p[j] / sum);
    const Focal<T> f(q, 1 - q, -libm::log(q), gamma);
    loss += t[j] * f.loss;
    if (!(q != p[j] / sum && q == q)) inside += t[j] * f.slope;
  });
  inside = group.sum(inside);
  if (dp) {
    group.each(k, [&](int64_t j) {
      const T q = clip_probability(p[j] / sum);
      const Focal<T> f(q, 1 - q, -libm::log(q), gamma);
      const T own = q != p[j] / sum && q == q ? 0 : t[j] * f.slope / q;
      dp[j] = scale * (inside - own) / sum;
    });
  }
  return group.sum(loss);
}

template <class T, class Group>
CK_ROW T categorical_hinge(const Group& group, const T* p, const Target<T>& t, int64_t k, T scale,
                           T* dp) {
  T largest = (1 - t[0]) * p[0], own = 0;
  group.each(k, [&](int64_t j) {
    const T other = (1 - t[j]) * p[j];
    if (other > largest || other != other) largest = other;
    own += t[j] * p[j];
  });
  largest = group.max_or_nan(largest);
  const T margin = largest - group.sum(own) + 1;
  if (dp) {
    int count = 0;
    group.each(k, [&](int64_t j) { count += (1 - t[j]) * p[j] == largest; });
    count = group.sum(count);
    group.each(k, [&](int64_t j) {
      const T share = (1 - t[j]) * p[j] == largest ? (1 - t[j]) / static_cast<T>(count) : T(0);
      dp[j] = margin > 0 ? scale * (share - t[j]) : margin == margin ? T(0) : margin;
    });
  }
  return margin < 0 ? T(0) : margin;
}

template <class T, class Group>
CK_ROW T cosine_similarity(const Group& group, const T* p, const Target<T>& t, int64_t k, T scale,
                           T* dp) {
  T pp = 0, tt = 0, pt = 0;
  group.each(k, [&](int64_t j) {
    pp += p[j] * p[j];
    tt += t[j] * t[j];
    pt += p[j] * t[j];
  });
  const T least = static_cast<T>(kClip);
  const T p_norm = libm::sqrt(group.sum(pp)), t_norm = libm::sqrt(group.sum(tt));
  const bool short_p = p_norm < least;
  const T one = 1 / (short_p ? least : p_norm), both = one / (t_norm < least ? least : t_norm);
  const T cosine = group.sum(pt) * both;
  if (dp) {
    group.each(k, [&](int64_t j) {
      dp[j] = scale * ((short_p ? T(0) : cosine * one * one * p[j]) - t[j] * both);
    });
  }
  return -cosine;
}

template <class T, class Group>
CK_ROW T row_loss(const Group& group, const LossParams& params, const T* p, const Target<T>& t,
                  int64_t k, T scale, T* dp) {
  const T gamma = static_cast<T>(params.gamma);
  switch (static_cast<Loss>(params.kind)) {
    case Loss::softmax_cross_entropy:
      return softmax_cross_entropy(group, p, t, k, scale, dp);
    case Loss::cross_entropy:
      return cross_entropy(group, p, t, k, scale, dp);
    case Loss::softmax_focal_cross_entropy:
      return softmax_focal(group, p, t, k, gamma, scale, dp);
    case Loss::focal_cross_entropy:
      return focal_cross_entropy(group, p, t, k, gamma, scale, dp);
    case Loss::categorical_hinge:
      return categorical_hinge(group, p, t, k, scale, dp);
    default:
      return cosine_similarity(group, p, t, k, scale, dp);
  }
}

// f(p, t) of a kind that is a mean over the row, and df/dp.
template <class T>
struct Term {
  T loss, slope;
};

template <class T>
CK_INLINE Term<T> sigmoid_focal(T p, T t, T gamma, const Balance<T>& balance) {
  const T e = libm::exp(-libm::abs(p)), large = 1 / (1 + e), small = e / (1 + e);
  const T q = p < 0 ? small : large, other = p < 0 ? large : small;  // sigmoid(p) and 1 - that
  const T entropy = (p < 0 ? 0 : p) - p * t + libm::log1p(e);
  const T u = t * other + (1 - t) * q, factor = (balance.base + t * balance.rise) * power(u, gamma);
  const T inner = u > 0 ? q * other / u : T(0);  // of d log u / dp
  return {factor * entropy, factor * (q - t + gamma * inner * (1 - 2 * t) * entropy)};
}

template <class T>
CK_INLINE Term<T> binary_focal(T p, T t, T gamma, const Balance<T>& balance) {
  const T q = clip_probability(p), other = 1 - q;
  const T entropy = -(t * libm::log(q) + (1 - t) * libm::log(other));
  const T u = t * other + (1 - t) * q, factor = (balance.base + t * balance.rise) * power(u, gamma);
  const T slope = (1 - t) / other - t / q + gamma * (1 - 2 * t) / u * entropy;
  return {factor * entropy, q != p && p == p ? T(0) : factor * slope};
}

template <class T>
CK_INLINE Term<T> squared_logarithmic_error(T p, T t) {
  const T least = static_cast<T>(kClip);
  const T d = libm::log(1 + (p < least ? least : p)) - libm::log(1 + (t < least ? least : t));
  return {d * d, p < least ? T(0) : 2 * d / (1 + p)};
}

// Near 0, log cosh d = log(1 + (e^d - 1)^2 / (2 e^d)) does not cancel.
template <class T>
CK_INLINE Term<T> log_cosh(T d) {
  const T size = libm::abs(d), e = libm::expm1(size), u = 1 + e;
  const T loss = size < 1 ? libm::log1p(e * e / (2 * u))
                          : size - static_cast<T>(0.693147180559945309) + libm::log1p(1 / (u * u));
  return {loss, libm::tanh(d)};
}

template <class T>
CK_INLINE Term<T> kl_divergence(T p, T t) {
  const T q = clip(p, static_cast<T>(kClip), T(1));
  t = clip(t, static_cast<T>(kClip), T(1));
  return {t * libm::log(t / q), q != p && p == p ? T(0) : -t / q};
}

template <class T>
CK_INLINE T sign(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x;  // NaN stays
}

template <class T>
CK_SCALAR Term<T> term(const LossParams& params, const Balance<T>& balance, T p, T t) {
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

template <class T, class Group>
CK_ROW T mean(const Group& group, const LossParams& params, const T* p, const Target<T>& t,
              int64_t k, T scale, T* dp) {
  const T divisor = params.divisor == 0 ? static_cast<T>(k) : static_cast<T>(params.divisor);
  const Balance<T> balance(params);
  T loss = 0;
  group.each(k, [&](int64_t j) {
    const Term<T> f = term(params, balance, p[j], t[j]);
    loss += f.loss;
    if (dp) dp[j] = scale * f.slope / divisor;
  });
  return group.sum(loss) / divisor;
}

// Row r: its loss, which is for the caller to store, and its gradient. Of a group without a row of
// its own `count` is 0, otherwise k.
template <class T, class Group>
CK_ROW T loss_of_row(const Group& group, const LossRows<T>& rows, int64_t r, int64_t count) {
  const T weight = rows.weight ? rows.weight[r] : T(1);
  const T scale = static_cast<T>(rows.params.scale) * weight;
  const T* const p = rows.p + r * rows.k;
  T* const dp = rows.dp ? rows.dp + r * rows.k : nullptr;
  const Target<T> t = rows.target(r);
  return weight * (of_whole_rows(rows.kind()) ? row_loss(group, rows.params, p, t, count, scale, dp)
                                              : mean(group, rows.params, p, t, count, scale, dp));
}

}  // namespace convkit::CK_ISA
