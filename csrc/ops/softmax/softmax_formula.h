// The passes over a row, on any device: row(group, inputs, output, k), where an input that is
// absent is any other.
#pragma once

#include "core/row_group.h"
#include "ops/softmax/softmax.h"

namespace convkit::CK_ISA {

struct Softmax {
  template <class T, class Group>
  CK_ROW static void row(const Group& group, const T* x, const T*, T* y, int64_t k) {
    const SumOfExp<T> e = group.sum_of_exp(x, k);
    group.each(k, [&](int64_t j) { y[j] = libm::exp(x[j] - e.max) / e.sum; });
  }
};

struct SoftmaxBackward {
  template <class T, class Group>
  CK_ROW static void row(const Group& group, const T* dy, const T* y, T* dx, int64_t k) {
    T dot = 0;
    group.each(k, [&](int64_t j) { dot += dy[j] * y[j]; });
    dot = group.sum(dot);
    group.each(k, [&](int64_t j) { dx[j] = y[j] * (dy[j] - dot); });
  }
};

struct LogSoftmax {
  template <class T, class Group>
  CK_ROW static void row(const Group& group, const T* x, const T*, T* y, int64_t k) {
    const SumOfExp<T> e = group.sum_of_exp(x, k);
    const T log_sum = libm::log(e.sum);
    group.each(k, [&](int64_t j) { y[j] = (x[j] - e.max) - log_sum; });
  }
};

struct LogSoftmaxBackward {
  template <class T, class Group>
  CK_ROW static void row(const Group& group, const T* dy, const T* y, T* dx, int64_t k) {
    T sum = 0;
    group.each(k, [&](int64_t j) { sum += dy[j]; });
    sum = group.sum(sum);
    group.each(k, [&](int64_t j) { dx[j] = dy[j] - libm::exp(y[j]) * sum; });
  }
};

}  // namespace convkit::CK_ISA
