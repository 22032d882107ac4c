// Threads over chunks of long rows, vectors across channels. The forward pass reads x twice from
// memory and writes y; the backward pass reads dy and x twice and writes dx.
//
// Mean and sum of squared differences come from each chunk in two passes in the cache, the second
// about the chunk's own mean and corrected for that one's rounding; chunks are joined in double
// (Chan, Golub and LeVeque 1983, equations 1.7 and 2.1), as distances from the first value.
#include "ops/batch_norm/batch_norm.h"
#include "simd/long_rows.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
CK_INLINE double value_or(const Tensor& t, int64_t k, double absent) {
  return t.present() ? static_cast<double>(t.as<T>()[k]) : absent;
}

CK_INLINE double inverse_deviation(double variance, const Call& call) {
  return 1 / __builtin_sqrt(variance + call.as<BatchNormParams>().epsilon);
}

// y = (x - mean) scale + beta, the three of them [width] each.
template <class T>
CK_INLINE void normalize(ThreadPool* pool, const LongRows& rows, const T* x, const T* mean,
                         const T* scale, const T* beta, T* y) {
  for_long_rows<T>(pool, rows, [=](int64_t i, int64_t j, auto at) {
    const Vec<T> d = at.load(x + i) - Vec<T>::loadu(mean + j);
    at.store(y + i, fma(d, Vec<T>::loadu(scale + j), Vec<T>::loadu(beta + j)));
  });
}

// Of a chunk: the mean, less the first value of x, and the sum of squared differences from the
// mean. scratch: 3 long rows.
template <class T>
void chunk_statistics(const LongRows& rows, int64_t chunk, const T* x, T* scratch, double* mean,
                      double* squares) {
  T* const shift = scratch;
  T* const sum = scratch + rows.width;
  T* const square = sum + rows.width;
  const double n = static_cast<double>(rows.rows_of(chunk));
  // About the chunk's first row, so that equal values have variance 0.
  for (int64_t k = 0; k < rows.c; ++k) shift[k] = x[rows.chunks.begin(chunk) + k];
  widen(rows, shift);
  set_zero(sum, rows.width);
  for_long_rows<T>(rows, chunk, [&](int64_t i, int64_t j, auto at) {
    at.store(sum + j, at.load(sum + j) + (at.load(x + i) - Vec<T>::loadu(shift + j)));
  });
  for (int64_t k = 0; k < rows.c; ++k) shift[k] += static_cast<T>(narrow(rows, sum, k) / n);
  widen(rows, shift);
  set_zero(sum, 2 * rows.width);
  for_long_rows<T>(rows, chunk, [&](int64_t i, int64_t j, auto at) {
    const Vec<T> d = at.load(x + i) - Vec<T>::loadu(shift + j);
    at.store(sum + j, at.load(sum + j) + d);
    at.store(square + j, fma(d, d, at.load(square + j)));
  });
  for (int64_t k = 0; k < rows.c; ++k) {
    const double rest = narrow(rows, sum, k);
    const double about_mean = narrow(rows, square, k) - rest * rest / n;
    mean[k] = static_cast<double>(shift[k]) - static_cast<double>(x[k]) + rest / n;
    squares[k] = about_mean < 0 ? 0 : about_mean;  // NaN stays
  }
}

// Joins the chunks' means and squares [chunks, 2, c] of channels from begin to end.
CK_INLINE void join(const LongRows& rows, const double* partial, double* mean, double* variance,
                    int64_t begin, int64_t end) {
  const double n = static_cast<double>(rows.rows());
  for (int64_t k = begin; k < end; ++k) mean[k] = variance[k] = 0;
  for (int64_t chunk = 0; chunk < rows.chunks.count(); ++chunk) {
    const double* const from = partial + chunk * 2 * rows.c;
    const double share = static_cast<double>(rows.rows_of(chunk)) / n;
    for (int64_t k = begin; k < end; ++k) mean[k] += share * from[k];
  }
  for (int64_t chunk = 0; chunk < rows.chunks.count(); ++chunk) {
    const double* const from = partial + chunk * 2 * rows.c;
    const double share = static_cast<double>(rows.rows_of(chunk)) / n;
    for (int64_t k = begin; k < end; ++k) {
      const double apart = from[k] - mean[k];
      variance[k] += from[rows.c + k] / n + share * apart * apart;
    }
  }
}

template <class T>
void backward(const Call& call, bool of_batch) {
  const T* const dy = call[0].as<T>();
  const T* const x = call[1].as<T>();
  T* const dx = call[5].as<T>();
  const LongRows rows(call[0]);
  ChannelSums<T, 2> sums(rows, call.workspace);
  T* const mean = reinterpret_cast<T*>(call.workspace + rows.sums_bytes(2, 3, sizeof(T)));
  T* const scale = mean + rows.width;
  T* const of_mean = scale + rows.width;
  T* const of_variance = of_mean + rows.width;
  for (int64_t k = 0; k < rows.c; ++k) mean[k] = call[2].as<T>()[k];
  widen(rows, mean);
  const bool summed = of_batch || call[6].present() || call[7].present();
  if (summed) {
    sums.add_up(call.pool, [=](int64_t i, int64_t j, auto at, Vec<T>* out) {
      const Vec<T> g = at.load(dy + i);
      out[0] = g;
      out[1] = g * (at.load(x + i) - Vec<T>::loadu(mean + j));
    });
  }
  const double n = static_cast<double>(rows.rows());
  for (int64_t k = 0; k < rows.c; ++k) {
    const double s = inverse_deviation(static_cast<double>(call[3].as<T>()[k]), call);
    scale[k] = static_cast<T>(value_or<T>(call[4], k, 1) * s);
    if (!summed) continue;
    const double dbeta = sums.total[k], dgamma = sums.total[rows.c + k] * s;
    of_mean[k] = static_cast<T>(dbeta / n);
    of_variance[k] = static_cast<T>(dgamma * s / n);
    if (call[6].present()) call[6].as<T>()[k] = static_cast<T>(dgamma);
    if (call[7].present()) call[7].as<T>()[k] = static_cast<T>(dbeta);
  }
  if (!call[5].present()) return;
  widen(rows, scale);
  if (!of_batch) {
    for_long_rows<T>(call.pool, rows, [=](int64_t i, int64_t j, auto at) {
      at.store(dx + i, at.load(dy + i) * Vec<T>::loadu(scale + j));
    });
    return;
  }
  widen(rows, of_mean);
  widen(rows, of_variance);
  for_long_rows<T>(call.pool, rows, [=](int64_t i, int64_t j, auto at) {
    const Vec<T> d = at.load(x + i) - Vec<T>::loadu(mean + j);
    const Vec<T> g = at.load(dy + i) - Vec<T>::loadu(of_mean + j);
    at.store(dx + i, fma(d, -Vec<T>::loadu(of_variance + j), g) * Vec<T>::loadu(scale + j));
  });
}

}  // namespace

void batch_norm_simd_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[0].as<T>();
    const LongRows rows(call[0]);
    ChannelSums<T, 2> parts(rows, call.workspace);
    const auto one_chunk = [&](int64_t chunk, int slot) {
      double* const to = parts.partial + chunk * 2 * rows.c;
      chunk_statistics(rows, chunk, x, parts.scratch + slot * 3 * rows.width, to, to + rows.c);
    };
    call.pool->parallel_for(rows.chunks.count(), one_chunk, static_cast<int>(rows.slots()));
    T* const mean = reinterpret_cast<T*>(call.workspace + rows.sums_bytes(2, 3, sizeof(T)));
    T* const scale = mean + rows.width;
    T* const beta = scale + rows.width;
    const Chunks channels{rows.c, 64};
    call.pool->parallel_for(channels.count(), [&](int64_t some, int) {
      double* const variance = parts.total + rows.c;
      join(rows, parts.partial, parts.total, variance, channels.begin(some), channels.end(some));
      for (int64_t k = channels.begin(some); k < channels.end(some); ++k) {
        const double first = rows.rows() > 0 ? static_cast<double>(x[k]) : 0;
        mean[k] = call[4].as<T>()[k] = static_cast<T>(first + parts.total[k]);
        call[5].as<T>()[k] = static_cast<T>(variance[k]);
        scale[k] =
            static_cast<T>(value_or<T>(call[1], k, 1) * inverse_deviation(variance[k], call));
        beta[k] = static_cast<T>(value_or<T>(call[2], k, 0));
      }
    });
    for (T* wide : {mean, scale, beta}) widen(rows, wide);
    normalize(call.pool, rows, x, mean, scale, beta, call[3].as<T>());
  });
}

void batch_norm_simd_inference(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LongRows rows(call[0]);
    T* const mean = reinterpret_cast<T*>(call.workspace);
    T* const scale = mean + rows.width;
    T* const beta = scale + rows.width;
    for (int64_t k = 0; k < rows.c; ++k) {
      const double s = inverse_deviation(static_cast<double>(call[2].as<T>()[k]), call);
      mean[k] = call[1].as<T>()[k];
      scale[k] = static_cast<T>(value_or<T>(call[3], k, 1) * s);
      beta[k] = static_cast<T>(value_or<T>(call[4], k, 0));
    }
    for (T* wide : {mean, scale, beta}) widen(rows, wide);
    normalize(call.pool, rows, call[0].as<T>(), mean, scale, beta, call[5].as<T>());
  });
}

void batch_norm_simd_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) { backward<T>(call, true); });
}

void batch_norm_simd_backward_inference(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) { backward<T>(call, false); });
}

}  // namespace convkit::CK_ISA
