// softmax, the obvious loops.
#include "ops/activation/activation_apply.h"
#include "ops/softmax/softmax.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
T row_max(const T* x, int64_t k) {
  T m = x[0];
  for (int64_t j = 1; j < k; ++j) m = x[j] > m ? x[j] : m;  // a NaN reaches y through the sum
  return m;
}

template <class T>
void softmax_row(const T* x, T* y, int64_t k) {
  const T m = row_max(x, k);
  T sum = 0;
  for (int64_t j = 0; j < k; ++j) {
    y[j] = libm::exp(x[j] - m);
    sum += y[j];
  }
  for (int64_t j = 0; j < k; ++j) y[j] /= sum;
}

template <class T>
void softmax_row_backward(const T* dy, const T* y, T* dx, int64_t k) {
  T dot = 0;
  for (int64_t j = 0; j < k; ++j) dot += dy[j] * y[j];
  for (int64_t j = 0; j < k; ++j) dx[j] = y[j] * (dy[j] - dot);
}

template <class T>
void log_softmax_row(const T* x, T* y, int64_t k) {
  const T m = row_max(x, k);
  T sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += libm::exp(x[j] - m);
  const T log_sum = libm::log(sum);
  for (int64_t j = 0; j < k; ++j) y[j] = (x[j] - m) - log_sum;
}

template <class T>
void log_softmax_row_backward(const T* dy, const T* y, T* dx, int64_t k) {
  T sum = 0;
  for (int64_t j = 0; j < k; ++j) sum += dy[j];
  for (int64_t j = 0; j < k; ++j) dx[j] = dy[j] - libm::exp(y[j]) * sum;
}

template <class Row>
void each_row(const Call& call, const Row& row) {
  const int64_t k = call[0].last();
  if (k == 0) return;
  for (int64_t r = 0; r < call[0].rows(); ++r) row(r * k, k);
}

}  // namespace

void softmax_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    each_row(call, [&](int64_t at, int64_t k) {
      softmax_row(call[0].as<T>() + at, call[1].as<T>() + at, k);
    });
  });
}

void softmax_naive_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    each_row(call, [&](int64_t at, int64_t k) {
      softmax_row_backward(call[0].as<T>() + at, call[1].as<T>() + at, call[2].as<T>() + at, k);
    });
  });
}

void softmax_naive_log_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    each_row(call, [&](int64_t at, int64_t k) {
      log_softmax_row(call[0].as<T>() + at, call[1].as<T>() + at, k);
    });
  });
}

void softmax_naive_log_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    each_row(call, [&](int64_t at, int64_t k) {
      log_softmax_row_backward(call[0].as<T>() + at, call[1].as<T>() + at, call[2].as<T>() + at, k);
    });
  });
}

}  // namespace convkit::CK_ISA
