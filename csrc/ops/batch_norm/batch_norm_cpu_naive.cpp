// Channel by channel, with sums in double.
#include "ops/batch_norm/batch_norm.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
CK_INLINE double value_or(const Tensor& t, int64_t k, double absent) {
  return t.present() ? static_cast<double>(t.as<T>()[k]) : absent;
}

// y of channel k, and of all its rows.
template <class T>
void normalize(const Tensor& x, int64_t k, double mean, double scale, double beta, T* y) {
  const int64_t c = x.last();
  for (int64_t i = k; i < x.size(); i += c) {
    y[i] = static_cast<T>((static_cast<double>(x.as<T>()[i]) - mean) * scale + beta);
  }
}

void backward(const Call& call, bool of_batch) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* dy = call[0].as<T>();
    const T* x = call[1].as<T>();
    T* dx = call[5].as<T>();
    const int64_t size = call[0].size(), c = call[0].last();
    const double n = static_cast<double>(call[0].rows());
    for (int64_t k = 0; k < c; ++k) {
      const double mean = static_cast<double>(call[2].as<T>()[k]);
      const double variance = static_cast<double>(call[3].as<T>()[k]);
      const double s = 1 / __builtin_sqrt(variance + call.as<BatchNormParams>().epsilon);
      double dgamma = 0, dbeta = 0;
      for (int64_t i = k; i < size; i += c) {
        dgamma += static_cast<double>(dy[i]) * (static_cast<double>(x[i]) - mean) * s;
        dbeta += static_cast<double>(dy[i]);
      }
      if (call[6].present()) call[6].as<T>()[k] = static_cast<T>(dgamma);
      if (call[7].present()) call[7].as<T>()[k] = static_cast<T>(dbeta);
      if (!call[5].present()) continue;
      const double scale = value_or<T>(call[4], k, 1) * s;
      for (int64_t i = k; i < size; i += c) {
        const double h = (static_cast<double>(x[i]) - mean) * s;
        const double through = of_batch ? (dbeta + h * dgamma) / n : 0;
        dx[i] = static_cast<T>(scale * (static_cast<double>(dy[i]) - through));
      }
    }
  });
}

}  // namespace

void batch_norm_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* x = call[0].as<T>();
    const int64_t size = call[0].size(), c = call[0].last();
    const double n = size > 0 ? static_cast<double>(size / c) : 1;
    for (int64_t k = 0; k < c; ++k) {
      // About the first value: of small numbers come small errors.
      const double first = size > 0 ? static_cast<double>(x[k]) : 0;
      double mean = 0, variance = 0;
      for (int64_t i = k; i < size; i += c) mean += static_cast<double>(x[i]) - first;
      mean = first + mean / n;
      for (int64_t i = k; i < size; i += c) {
        const double d = static_cast<double>(x[i]) - mean;
        variance += d * d / n;
      }
      const double s = 1 / __builtin_sqrt(variance + call.as<BatchNormParams>().epsilon);
      const double gamma = value_or<T>(call[1], k, 1), beta = value_or<T>(call[2], k, 0);
      normalize(call[0], k, mean, gamma * s, beta, call[3].as<T>());
      call[4].as<T>()[k] = static_cast<T>(mean);
      call[5].as<T>()[k] = static_cast<T>(variance);
    }
  });
}

void batch_norm_naive_inference(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for (int64_t k = 0; k < call[0].last(); ++k) {
      const double mean = static_cast<double>(call[1].as<T>()[k]);
      const double variance = static_cast<double>(call[2].as<T>()[k]);
      const double s = 1 / __builtin_sqrt(variance + call.as<BatchNormParams>().epsilon);
      const double gamma = value_or<T>(call[3], k, 1), beta = value_or<T>(call[4], k, 0);
      normalize(call[0], k, mean, gamma * s, beta, call[5].as<T>());
    }
  });
}

void batch_norm_naive_backward(const Call& call) { backward(call, true); }
void batch_norm_naive_backward_inference(const Call& call) { backward(call, false); }

// A few numbers: there is no faster row.
void batch_norm_naive_update_moving(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T keep = static_cast<T>(call.as<BatchNormParams>().momentum);
    const T take = static_cast<T>(1 - call.as<BatchNormParams>().momentum);
    for (int which = 0; which < 2; ++which) {
      const T* batch = call[which].as<T>();
      T* moving = call[2 + which].as<T>();
      for (int64_t k = 0; k < call[which].size(); ++k)
        moving[k] = keep * moving[k] + take * batch[k];
    }
  });
}

}  // namespace convkit::CK_ISA
