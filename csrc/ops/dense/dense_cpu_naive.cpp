#include "ops/activation/activation_through.h"
#include "ops/dense/dense.h"

namespace convkit::CK_ISA {

void dense_naive_forward(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const auto kind = static_cast<Activation>(params.activation);
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const w = call[1].as<T>();
    const T* const b = call[2].as<T>();
    for (int64_t r = 0; r < R; ++r) {
      const T* const x = call[0].as<T>() + r * C;
      T* const y = call[3].as<T>() + r * K;
      for (int64_t k = 0; k < K; ++k) y[k] = b != nullptr ? b[k] : T(0);
      for (int64_t c = 0; c < C; ++c) {
        for (int64_t k = 0; k < K; ++k) y[k] += x[c] * w[c * K + k];
      }
      for (int64_t k = 0; k < K; ++k) y[k] = activate(kind, T(params.alpha), y[k]);
    }
  });
}

void dense_naive_backward_input(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const w = call[1].as<T>();
    for (int64_t r = 0; r < R; ++r) {
      const T* const dy = call[0].as<T>() + r * K;
      T* const dx = call[3].as<T>() + r * C;
      for (int64_t c = 0; c < C; ++c) {
        T sum = 0;
        for (int64_t k = 0; k < K; ++k) sum += dy[k] * w[c * K + k];
        dx[c] = sum;
      }
    }
    Through<T>(call.as<DenseParams>(), call[2], call[3])(0, R * C);
  });
}

void dense_naive_backward_weight(const Call& call) {
  const int64_t R = call[0].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const dw = call[2].as<T>();
    T* const db = call[3].as<T>();
    for (int64_t i = 0; i < C * K; ++i) dw[i] = 0;
    for (int64_t k = 0; k < K && db != nullptr; ++k) db[k] = 0;
    for (int64_t r = 0; r < R; ++r) {
      const T* const dy = call[0].as<T>() + r * K;
      const T* const x = call[1].as<T>() + r * C;
      for (int64_t c = 0; c < C; ++c) {
        for (int64_t k = 0; k < K; ++k) dw[c * K + k] += x[c] * dy[k];
      }
      for (int64_t k = 0; k < K && db != nullptr; ++k) db[k] += dy[k];
    }
  });
}

void dense_naive_backward_bias(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const db = call[1].as<T>();
    for (int64_t k = 0; k < K; ++k) {
      T sum = 0;
      for (int64_t r = 0; r < R; ++r) sum += call[0].as<T>()[r * K + k];
      db[k] = sum;
    }
  });
}

}  // namespace convkit::CK_ISA
