// loss, the obvious loops: one function per kind that gives the loss of a row and, where dp is
// wanted, its gradient.
#include "ops/activation/activation_apply.h"
#include "ops/loss/loss.h"

namespace convkit::CK_ISA {
namespace {

// t after smoothing, for a row of labels or of values.
template <class T>
struct Target {
  const T* values;  // null: the row has a label
  int64_t label;
  T keep, spread;  // t' = keep * t + spread

  T operator[](int64_t j) const {
    const T t = values ? values[j] : static_cast<T>(j == label);
    return keep * t + spread;
  }
};

constexpr double kClip = 1e-7;

template <class T>
T clip(T p) {
  const T low = static_cast<T>(kClip), high = static_cast<T>(1 - kClip);
  return p < low ? low : p > high ? high : p;  // NaN stays
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
    loss -= t[j] * libm::log(clip(q));
    if (!(clip(q) != q && q == q)) inside += t[j];
  }
  for (int64_t j = 0; dp && j < k; ++j) {
    const T q = p[j] / sum;
    const T own = clip(q) != q && q == q ? 0 : t[j] / q;
    dp[j] = scale * (inside - own) / sum;
  }
  return loss;
}

template <class T>
T sigmoid_cross_entropy(const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  T loss = 0;
  for (int64_t j = 0; j < k; ++j) {
    const T e = libm::exp(-libm::abs(p[j]));
    loss += (p[j] < 0 ? 0 : p[j]) - p[j] * t[j] + libm::log1p(e);
    const T sigmoid = (p[j] < 0 ? e : 1) / (1 + e);
    if (dp) dp[j] = scale * (sigmoid - t[j]) / static_cast<T>(k);
  }
  return loss / static_cast<T>(k);
}

template <class T>
T binary_cross_entropy(const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  T loss = 0;
  for (int64_t j = 0; j < k; ++j) {
    const T q = clip(p[j]);
    loss -= t[j] * libm::log(q) + (1 - t[j]) * libm::log(1 - q);
    const bool clipped = q != p[j] && p[j] == p[j];
    if (dp) dp[j] = clipped ? 0 : scale * ((1 - t[j]) / (1 - q) - t[j] / q) / static_cast<T>(k);
  }
  return loss / static_cast<T>(k);
}

template <class T>
T squared_error(const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  T loss = 0;
  for (int64_t j = 0; j < k; ++j) {
    const T d = p[j] - t[j];
    loss += d * d;
    if (dp) dp[j] = scale * 2 * d / static_cast<T>(k);
  }
  return loss / static_cast<T>(k);
}

template <class T>
T row_loss(Loss kind, const T* p, const Target<T>& t, int64_t k, T scale, T* dp) {
  switch (kind) {
    case Loss::softmax_cross_entropy:
      return softmax_cross_entropy(p, t, k, scale, dp);
    case Loss::cross_entropy:
      return cross_entropy(p, t, k, scale, dp);
    case Loss::sigmoid_cross_entropy:
      return sigmoid_cross_entropy(p, t, k, scale, dp);
    case Loss::binary_cross_entropy:
      return binary_cross_entropy(p, t, k, scale, dp);
    case Loss::squared_error:
      break;
  }
  return squared_error(p, t, k, scale, dp);
}

template <bool gradient>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LossParams& params = call.as<LossParams>();
    const Loss kind = static_cast<Loss>(params.kind);
    const bool binary = kind == Loss::sigmoid_cross_entropy || kind == Loss::binary_cross_entropy;
    const bool labels = call[1].dtype == Dtype::int32;
    const int64_t rows = call[0].rows(), k = call[0].last();
    const double s = kind == Loss::squared_error ? 0.0 : params.label_smoothing;
    Target<T> t{nullptr, 0, static_cast<T>(1 - s),
                static_cast<T>(binary ? s / 2 : s / static_cast<double>(k))};
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) {
      if (labels) {
        t.label = call[1].as<int32_t>()[r];
      } else {
        t.values = call[1].as<T>() + r * k;
      }
      const T weight = call[2].present() ? call[2].as<T>()[r] : T(1);
      T* dp = nullptr;
      if constexpr (gradient) dp = call[5].as<T>() + r * k;
      const T scale = static_cast<T>(params.scale) * weight;
      const T loss = weight * row_loss(kind, call[0].as<T>() + r * k, t, k, scale, dp);
      call[3].as<T>()[r] = loss;
      total += static_cast<double>(loss);
    }
    call[4].as<double>()[0] = total;
  });
}

}  // namespace

void loss_naive_forward(const Call& call) { run<false>(call); }
void loss_naive_backward(const Call& call) { run<true>(call); }

}  // namespace convkit::CK_ISA
