#include "ops/domain_distance/domain_distance_formula.h"

namespace convkit::CK_ISA {
namespace {

// The loops of a row, on one thread, or in chunks of rows on all.
template <bool kParallel, class F>
void each_row(const Call& call, int64_t rows, int64_t work, const F& f) {
  if constexpr (kParallel) {
    const Chunks chunks{rows, 1 + 16384 / (work + 1)};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) f(i);
    });
  } else {
    for (int64_t i = 0; i < rows; ++i) f(i);
  }
}

template <class T>
void load(const Call& call, const Job& job) {
  for (int64_t i = 0; i < job.n * job.d; ++i) job.z[i] = call[0].as<T>()[i];
  for (int64_t i = 0; i < job.m * job.d; ++i) job.z[job.n * job.d + i] = call[1].as<T>()[i];
}

template <class T>
T* gradient_row(const Call& call, const Job& job, int64_t row) {
  return row < job.n ? call[3].as<T>() + row * job.d : call[4].as<T>() + (row - job.n) * job.d;
}

double sum_in_order(const double* values, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += values[i];
  return total;
}

// In lanes where the row is for speed, so that the compiler may use vectors without another order.
template <bool kLanes>
CK_INLINE double squared_distance(const double* __restrict x, const double* __restrict y,
                                  int64_t d) {
  constexpr int kWidth = kLanes ? 8 : 1;
  double lanes[kWidth] = {};
  int64_t i = 0;
  for (; i + kWidth <= d; i += kWidth) {
    for (int l = 0; l < kWidth; ++l) {
      const double difference = x[i + l] - y[i + l];
      lanes[l] += difference * difference;
    }
  }
  double total = 0;
  for (; i < d; ++i) total += (x[i] - y[i]) * (x[i] - y[i]);
  for (double lane : lanes) total += lane;
  return total;
}

template <class T, bool kFast>
double mmd(const Call& call, const Job& job, bool gradient) {
  const int64_t rows = job.rows, d = job.d;
  each_row<kFast>(call, rows, rows * d, [&](int64_t i) {
    double* const distances = job.matrix + i * rows;
    for (int64_t j = 0; j < rows; ++j)
      distances[j] = squared_distance<kFast>(job.z + i * d, job.z + j * d, d);
    job.sums[i] = sum_in_order(distances, rows);
  });
  const double s = job.width(sum_in_order(job.sums, rows));
  const double scale = job.params.scale;
  each_row<kFast>(call, rows, rows * (gradient ? d + 20 : 20), [&](int64_t i) {
    double* const pairs = job.matrix + i * rows;
    double total = 0;
    for (int64_t j = 0; j < rows; ++j) {
      const Gaussian k = gaussian(pairs[j], s, job.params.kernels);
      total += job.share(j) * k.value;
      pairs[j] = job.share(j) * k.slope;
    }
    job.sums[i] = job.share(i) * total;
    if (!gradient) return;
    // d total / dz_i = 4 c_i sum_j c_j k'(z_i, z_j) (z_i - z_j), in blocks that stay in registers.
    constexpr int kBlock = 64;
    T* const to = gradient_row<T>(call, job, i);
    const double factor = 4 * scale * job.share(i);
    for (int64_t begin = 0; begin < d; begin += kBlock) {
      const int64_t width = d - begin < kBlock ? d - begin : kBlock;
      double sum[kBlock] = {};
      const double* const own = job.z + i * d + begin;
      for (int64_t j = 0; j < rows; ++j) {
        const double* const other = job.z + j * d + begin;
        for (int64_t k = 0; k < width; ++k) sum[k] += pairs[j] * (own[k] - other[k]);
      }
      for (int64_t k = 0; k < width; ++k) to[begin + k] = static_cast<T>(factor * sum[k]);
    }
  });
  return scale * sum_in_order(job.sums, rows);
}

void centre(const Job& job, int64_t first, int64_t count) {
  for (int64_t k = 0; k < job.d; ++k) {
    double* const column = job.z + first * job.d + k;
    double mean = 0;
    for (int64_t i = 0; i < count; ++i) mean += column[i * job.d];
    mean /= static_cast<double>(count);
    for (int64_t i = 0; i < count; ++i) column[i * job.d] -= mean;
  }
}

template <class T, bool kFast>
double coral(const Call& call, const Job& job, bool gradient) {
  const int64_t rows = job.rows, d = job.d;
  centre(job, 0, job.n);
  centre(job, job.n, job.m);
  each_row<kFast>(call, d, rows * d, [&](int64_t i) {
    double* const e = job.matrix + i * d;
    for (int64_t k = 0; k < d; ++k) e[k] = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double* const z = job.z + r * d;
      const double factor = job.weight(r) * z[i];
      for (int64_t k = 0; k < d; ++k) e[k] += factor * z[k];
    }
    double total = 0;
    for (int64_t k = 0; k < d; ++k) total += e[k] * e[k];
    job.sums[i] = total;
  });
  const double by = job.by();
  if (gradient) {
    each_row<kFast>(call, rows, d * d, [&](int64_t r) {
      constexpr int kBlock = 64;
      T* const to = gradient_row<T>(call, job, r);
      const double* const z = job.z + r * d;
      for (int64_t begin = 0; begin < d; begin += kBlock) {
        const int64_t width = d - begin < kBlock ? d - begin : kBlock;
        double sum[kBlock] = {};
        for (int64_t i = 0; i < d; ++i) {
          const double* const e = job.matrix + i * d + begin;
          for (int64_t k = 0; k < width; ++k) sum[k] += z[i] * e[k];
        }
        const double factor = by * job.weight(r);
        for (int64_t k = 0; k < width; ++k) to[begin + k] = static_cast<T>(factor * sum[k]);
      }
    });
  }
  return by / 4 * sum_in_order(job.sums, d);
}

template <bool kFast>
void run(const Call& call, bool gradient) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Job job(call);
    load<T>(call, job);
    *call[2].as<double>() =
        job.coral() ? coral<T, kFast>(call, job, gradient) : mmd<T, kFast>(call, job, gradient);
  });
}

}  // namespace

void domain_distance_naive_forward(const Call& call) { run<false>(call, false); }
void domain_distance_naive_backward(const Call& call) { run<false>(call, true); }
void domain_distance_simd_forward(const Call& call) { run<true>(call, false); }
void domain_distance_simd_backward(const Call& call) { run<true>(call, true); }

}  // namespace convkit::CK_ISA
