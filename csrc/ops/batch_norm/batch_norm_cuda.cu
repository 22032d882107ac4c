// Statistics come from each chunk of rows in two passes, the second, which finds them in the cache,
// about the chunk's own mean, and are joined in double (Chan, Golub and LeVeque 1983, equations 1.7
// and 2.1), as distances from the channel's first value. Where one chunk is all, a pass of
// batch_norm is one kernel.
#include "cuda/columns.cuh"
#include "ops/batch_norm/batch_norm.h"

namespace convkit::cuda {
namespace {

// y = (x - mean) scale + beta, for the rows of a chunk.
template <class T>
struct Normalization {
  const T *x, *gamma, *beta;
  T* y;
  double epsilon;

  CK_DEVICE void operator()(const Columns& columns, const Column& column, int64_t chunk, T mean,
                            double variance) const {
    const int64_t c = column.channel;
    if (!column.active) return;
    const double factor = gamma ? static_cast<double>(gamma[c]) : 1.0;
    const T scale = static_cast<T>(factor / sqrt(variance + epsilon));
    const T shift = beta ? beta[c] : T(0);
    column.each_row(columns, chunk, [&](int64_t i) { y[i] = (x[i] - mean) * scale + shift; });
  }
};

template <class T>
struct Statistics {
  static constexpr int kThreads = kColumnThreads;
  Columns columns;
  Normalization<T> normalization;
  T *mean, *variance;
  double* partial;  // [chunks, 2, c], where there are several chunks

  CK_DEVICE void operator()() const {
    const Column column(columns);
    const T* const x = normalization.x;
    const int64_t chunk = blockIdx.y, begin = columns.chunks.begin(chunk);
    const int64_t count = columns.chunks.end(chunk) - begin;
    const double n = static_cast<double>(count > 0 ? count : 1);
    // About the chunk's first row, so that equal values have variance 0.
    const bool some = column.active && count > 0;
    double centre = some ? static_cast<double>(x[begin * columns.c + column.channel]) : 0.0;
    double sum[1] = {};
    column.each_row(columns, chunk,
                    [&](int64_t i) { sum[0] += static_cast<double>(x[i]) - centre; });
    column.sum_lanes(columns, sum);
    centre += sum[0] / n;
    double sums[2] = {};
    column.each_row(columns, chunk, [&](int64_t i) {
      const double d = static_cast<double>(x[i]) - centre;
      sums[0] += d;
      sums[1] += d * d;
    });
    column.sum_lanes(columns, sums);
    const double about_mean = sums[1] - sums[0] * sums[0] / n;
    const double squares = about_mean < 0 ? 0 : about_mean;  // NaN stays
    centre += sums[0] / n;
    if (gridDim.y > 1) {
      if (!column.leads()) return;
      double* const to = partial + blockIdx.y * 2 * columns.c + column.channel;
      to[0] = centre - static_cast<double>(x[column.channel]);
      to[columns.c] = squares;
      return;
    }
    if (column.leads()) {
      mean[column.channel] = static_cast<T>(centre);
      variance[column.channel] = static_cast<T>(squares / n);
    }
    normalization(columns, column, 0, static_cast<T>(centre), squares / n);
  }
};

template <class T>
struct JoinStatistics {
  static constexpr int kThreads = kColumnThreads;
  Columns columns;
  const T* x;
  T *mean, *variance;
  const double* partial;

  CK_DEVICE void operator()() const {
    const Column column(columns);
    const double n = static_cast<double>(columns.rows);
    double centre[1] = {}, spread[1] = {};
    each_chunk(column, [&](double share, double of_mean, double) { centre[0] += share * of_mean; });
    column.sum_lanes(columns, centre);
    each_chunk(column, [&](double share, double of_mean, double squares) {
      const double apart = of_mean - centre[0];
      spread[0] += squares / n + share * apart * apart;
    });
    column.sum_lanes(columns, spread);
    if (!column.leads()) return;
    const double first = static_cast<double>(x[column.channel]);
    mean[column.channel] = static_cast<T>(first + centre[0]);
    variance[column.channel] = static_cast<T>(spread[0]);
  }

  template <class F>
  CK_DEVICE void each_chunk(const Column& column, const F& f) const {
    if (!column.active) return;
    const double n = static_cast<double>(columns.rows);
    for (int64_t chunk = column.lane; chunk < columns.chunks.count(); chunk += columns.lanes) {
      const int64_t count = columns.chunks.end(chunk) - columns.chunks.begin(chunk);
      const double* const from = partial + chunk * 2 * columns.c + column.channel;
      f(static_cast<double>(count) / n, from[0], from[columns.c]);
    }
  }
};

template <class T>
struct Inference {
  static constexpr int kThreads = kColumnThreads;
  Columns columns;
  Normalization<T> normalization;
  const T *mean, *variance;

  CK_DEVICE void operator()() const {
    const Column column(columns);
    if (!column.active) return;
    normalization(columns, column, blockIdx.y, mean[column.channel],
                  static_cast<double>(variance[column.channel]));
  }
};

template <class T, bool kOfBatch>
struct Backward {
  static constexpr int kSums = 2;
  static constexpr bool kApplies = true;
  const T *dy, *x, *mean, *variance, *gamma;
  T *dx, *dgamma, *dbeta;
  double epsilon;

  CK_DEVICE double inverse_deviation(int64_t c) const {
    return 1 / sqrt(static_cast<double>(variance[c]) + epsilon);
  }
  CK_DEVICE void add(int64_t i, int64_t c, double (&sums)[kSums]) const {
    const double g = static_cast<double>(dy[i]);
    sums[0] += g;
    sums[1] += g * (static_cast<double>(x[i]) - static_cast<double>(mean[c]));
  }
  CK_DEVICE void finish(int64_t c, const double (&sums)[kSums]) const {
    if (dbeta) dbeta[c] = static_cast<T>(sums[0]);
    if (dgamma) dgamma[c] = static_cast<T>(sums[1] * inverse_deviation(c));
  }
  CK_DEVICE void apply(const Columns& columns, const Column& column, int64_t chunk,
                       const double (&sums)[kSums]) const {
    const int64_t c = column.channel;
    if (!column.active || dx == nullptr) return;
    const double s = inverse_deviation(c), n = static_cast<double>(columns.rows);
    const T scale = static_cast<T>((gamma ? static_cast<double>(gamma[c]) : 1.0) * s);
    if constexpr (!kOfBatch) {
      column.each_row(columns, chunk, [&](int64_t i) { dx[i] = dy[i] * scale; });
    } else {
      const T of_mean = static_cast<T>(sums[0] / n), centre = mean[c];
      const T of_variance = static_cast<T>(sums[1] * s * s / n);
      column.each_row(columns, chunk, [&](int64_t i) {
        dx[i] = ((dy[i] - of_mean) - (x[i] - centre) * of_variance) * scale;
      });
    }
  }
};

template <class T>
struct UpdateMoving {
  const T *mean, *variance;
  T *moving_mean, *moving_variance;
  T keep, take;

  CK_DEVICE void operator()(int64_t c) const {
    moving_mean[c] = keep * moving_mean[c] + take * mean[c];
    moving_variance[c] = keep * moving_variance[c] + take * variance[c];
  }
};

double epsilon_of(const Call& call) { return call.as<BatchNormParams>().epsilon; }

Workspace workspace(const convkit::Call& call) { return sum_columns_bytes(Columns(call[0]), 2); }

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Columns columns(call[0]);
    const Normalization<T> normalization{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(),
                                         call[3].as<T>(), epsilon_of(call)};
    T *const mean = call[4].as<T>(), *const variance = call[5].as<T>();
    double* const partial = reinterpret_cast<double*>(call.workspace);
    launch(call, columns.grid(), Statistics<T>{columns, normalization, mean, variance, partial});
    if (columns.count() == 1) return;
    launch(call, dim3(columns.grid().x),
           JoinStatistics<T>{columns, call[0].as<T>(), mean, variance, partial});
    launch(call, columns.grid(), Inference<T>{columns, normalization, mean, variance});
  });
}

void inference(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Columns columns(call[0]);
    const Normalization<T> normalization{call[0].as<T>(), call[3].as<T>(), call[4].as<T>(),
                                         call[5].as<T>(), epsilon_of(call)};
    launch(call, columns.grid(),
           Inference<T>{columns, normalization, call[1].as<T>(), call[2].as<T>()});
  });
}

template <bool kOfBatch>
void backward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Columns columns(call[0]);
    const Backward<T, kOfBatch> f{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(),
                                  call[3].as<T>(), call[4].as<T>(), call[5].as<T>(),
                                  call[6].as<T>(), call[7].as<T>(), epsilon_of(call)};
    if (kOfBatch || f.dgamma || f.dbeta) return sum_columns(call, columns, f);
    launch(call, columns.grid(), ApplyColumns<Backward<T, kOfBatch>>{f, columns, nullptr});
  });
}

void update_moving(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const double keep = call.as<BatchNormParams>().momentum;
    for_each(call, call[0].size(),
             UpdateMoving<T>{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<T>(),
                             static_cast<T>(keep), static_cast<T>(1 - keep)});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward, nullptr, workspace},
    {"inference", "cuda_simple", kFloats, &inference},
    {"backward", "cuda_simple", kFloats, &backward<true>, nullptr, workspace},
    {"backward_inference", "cuda_simple", kFloats, &backward<false>, nullptr, workspace},
    {"update_moving", "cuda_simple", kFloats, &update_moving},
};

}  // namespace

extern const Table batch_norm_cuda_table = {"batch_norm", rows};

}  // namespace convkit::cuda
