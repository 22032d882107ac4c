#include "ops/activation/activation_apply.h"
#include "ops/rbf/rbf.h"

namespace convkit::CK_ISA {

void rbf_naive_distance(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T scale = T(call.as<RbfParams>().scale);
    const T* const w = call[1].as<T>();
    for (int64_t r = 0; r < R; ++r) {
      const T* const x = call[0].as<T>() + r * C;
      T* const d = call[2].as<T>() + r * K;
      for (int64_t k = 0; k < K; ++k) {
        T sum = 0;
        for (int64_t c = 0; c < C; ++c) sum += (x[c] - w[c * K + k]) * (x[c] - w[c * K + k]);
        d[k] = scale * sum;
      }
    }
  });
}

void rbf_naive_backward_input(const Call& call) {
  const int64_t R = call[1].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T scale = T(2 * call.as<RbfParams>().scale);
    const T* const w = call[2].as<T>();
    for (int64_t r = 0; r < R; ++r) {
      const T* const dd = call[0].as<T>() + r * K;
      const T* const x = call[1].as<T>() + r * C;
      T* const dx = call[3].as<T>() + r * C;
      for (int64_t c = 0; c < C; ++c) {
        T sum = 0;
        for (int64_t k = 0; k < K; ++k) sum += dd[k] * (x[c] - w[c * K + k]);
        dx[c] = scale * sum;
      }
    }
  });
}

void rbf_naive_backward_weight(const Call& call) {
  const int64_t R = call[1].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T scale = T(2 * call.as<RbfParams>().scale);
    const T* const dd = call[0].as<T>();
    const T* const x = call[1].as<T>();
    const T* const w = call[2].as<T>();
    T* const dw = call[3].as<T>();
    for (int64_t c = 0; c < C; ++c) {
      for (int64_t k = 0; k < K; ++k) {
        T sum = 0;
        for (int64_t r = 0; r < R; ++r) sum += dd[r * K + k] * (w[c * K + k] - x[r * C + c]);
        dw[c * K + k] = scale * sum;
      }
    }
  });
}

void rbf_naive_gaussian(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const d = call[0].as<T>();
    const T* const s = call[1].as<T>();
    T* const y = call[2].as<T>();
    for (int64_t r = 0; r < R; ++r) {
      for (int64_t k = 0; k < K; ++k) {
        const T gamma = T(0.5) * libm::exp(T(-2) * s[k]);
        y[r * K + k] = libm::exp(-d[r * K + k] * gamma);
      }
    }
  });
}

void rbf_naive_gaussian_backward(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const y = call[1].as<T>();
    const T* const d = call[2].as<T>();
    const T* const s = call[3].as<T>();
    T* const dd = call[4].as<T>();
    T* const ds = call[5].as<T>();
    for (int64_t k = 0; k < K; ++k) {
      const T precision = libm::exp(T(-2) * s[k]);
      T sum = 0;
      for (int64_t i = k; i < R * K; i += K) {
        const T slope = dy[i] * y[i] * precision;
        dd[i] = T(-0.5) * slope;
        sum += slope * d[i];
      }
      if (ds != nullptr) ds[k] = sum;
    }
  });
}

}  // namespace convkit::CK_ISA
