// The obvious loops: a warp for each sum of a row of a matrix, a thread for each value.
#include "cuda/index.cuh"
#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "cuda/reduce.cuh"
#include "ops/domain_distance/domain_distance_formula.h"

namespace convkit::cuda {
namespace {

constexpr int kBlock = 256;

// f.store(row, sum of f(row, j) over j < width), a warp for each row.
template <class F>
struct SumRows {
  static constexpr int kThreads = kBlock;
  F f;
  int64_t rows, width;

  CK_DEVICE void operator()() const {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int64_t step = gridDim.x * int64_t{kBlock / 32};
    for (int64_t r = blockIdx.x * int64_t{kBlock / 32} + threadIdx.x / 32; r < rows; r += step) {
      double sum = 0;
      for (int64_t j = lane; j < width; j += 32) sum += f(r, j);
      sum = warp_sum(sum);
      if (lane == 0) f.store(r, sum);
    }
  }
};

template <class F>
void sum_rows(const Call& call, int64_t rows, int64_t width, const F& f) {
  const int64_t blocks = ceil_div(rows, kBlock / 32);
  launch(call, dim3(static_cast<unsigned>(blocks < 65536 ? blocks : 65536)),
         SumRows<F>{f, rows, width});
}

// Where gradients go, and the domains' rows.
template <class T>
struct Operands {
  const T *a, *b;
  T *da, *db;

  CK_DEVICE double value(const Job& job, int64_t row, int64_t k) const {
    return static_cast<double>(row < job.n ? a[row * job.d + k] : b[(row - job.n) * job.d + k]);
  }
  CK_DEVICE void store(const Job& job, int64_t row, int64_t k, double gradient) const {
    (row < job.n ? da[row * job.d + k] : db[(row - job.n) * job.d + k]) = static_cast<T>(gradient);
  }
};

// total = factor * sum of job.sums
struct Total {
  Job job;
  double factor;
  double* total;
  CK_DEVICE double operator()(int64_t, int64_t i) const { return job.sums[i]; }
  CK_DEVICE void store(int64_t, double sum) const { *total = factor * sum; }
};

// ---- mmd

template <class T>
struct Load {
  Job job;
  Operands<T> of;
  CK_DEVICE void operator()(int64_t i) const {
    int64_t row = i;
    const int64_t k = take_index(row, job.d);
    job.z[i] = of.value(job, row, k);
  }
};

// A warp for each pair of rows: `pair` is row * rows + other.
struct Distances {
  Job job;
  CK_DEVICE double operator()(int64_t pair, int64_t k) const {
    const int64_t i = quotient(pair, job.rows), j = pair - i * job.rows;
    const double difference = job.z[i * job.d + k] - job.z[j * job.d + k];
    return difference * difference;
  }
  CK_DEVICE void store(int64_t pair, double sum) const { job.matrix[pair] = sum; }
};

struct SumDistances {
  Job job;
  CK_DEVICE double operator()(int64_t i, int64_t j) const { return job.matrix[i * job.rows + j]; }
  CK_DEVICE void store(int64_t i, double sum) const { job.sums[i] = sum; }
};

// The sum of all distances goes behind the sums.
struct AllDistances {
  Job job;
  CK_DEVICE double operator()(int64_t, int64_t i) const { return job.sums[i]; }
  CK_DEVICE void store(int64_t, double sum) const { job.sums[job.rows] = sum; }
};

// Distances become slopes, times the second row's share.
struct Kernels {
  Job job;
  CK_DEVICE double operator()(int64_t i, int64_t j) const {
    double& pair = job.matrix[i * job.rows + j];
    const Gaussian k = gaussian(pair, job.width(job.sums[job.rows]), job.params.kernels);
    pair = job.share(j) * k.slope;
    return job.share(j) * k.value;
  }
  CK_DEVICE void store(int64_t i, double sum) const { job.sums[i] = job.share(i) * sum; }
};

// d total / dz_i = 4 c_i sum_j c_j k'(z_i, z_j) (z_i - z_j)
template <class T>
struct MmdGradient {
  Job job;
  Operands<T> to;
  CK_DEVICE void operator()(int64_t at) const {
    int64_t i = at;
    const int64_t k = take_index(i, job.d);
    double sum = 0;
    for (int64_t j = 0; j < job.rows; ++j)
      sum += job.matrix[i * job.rows + j] * (job.z[at] - job.z[j * job.d + k]);
    to.store(job, i, k, 4 * job.params.scale * job.share(i) * sum);
  }
};

template <class T>
void mmd(const Call& call, const Job& job, const Operands<T>& operands, bool gradient) {
  const int64_t rows = job.rows, d = job.d;
  for_each(call, rows * d, Load<T>{job, operands});
  sum_rows(call, rows * rows, d, Distances{job});
  sum_rows(call, rows, rows, SumDistances{job});
  sum_rows(call, 1, rows, AllDistances{job});
  sum_rows(call, rows, rows, Kernels{job});
  sum_rows(call, 1, rows, Total{job, job.params.scale, call[2].as<double>()});
  if (gradient) for_each(call, rows * d, MmdGradient<T>{job, operands});
}

// ---- coral

// A column of a domain, less its mean.
template <class T>
struct Centre {
  Job job;
  Operands<T> of;
  CK_DEVICE void operator()(int64_t i) const {
    const bool second = i >= job.d;
    const int64_t k = second ? i - job.d : i;
    const int64_t first = second ? job.n : 0, end = second ? job.rows : job.n;
    double mean = 0;
    for (int64_t r = first; r < end; ++r) mean += of.value(job, r, k);
    mean /= static_cast<double>(end - first);
    for (int64_t r = first; r < end; ++r) job.z[r * job.d + k] = of.value(job, r, k) - mean;
  }
};

struct Covariance {
  Job job;
  CK_DEVICE void operator()(int64_t at) const {
    int64_t i = at;
    const int64_t k = take_index(i, job.d);
    double sum = 0;
    for (int64_t r = 0; r < job.rows; ++r)
      sum += job.weight(r) * job.z[r * job.d + i] * job.z[r * job.d + k];
    job.matrix[at] = sum;
  }
};

struct SumSquares {
  Job job;
  CK_DEVICE double operator()(int64_t i, int64_t k) const {
    const double e = job.matrix[i * job.d + k];
    return e * e;
  }
  CK_DEVICE void store(int64_t i, double sum) const { job.sums[i] = sum; }
};

template <class T>
struct CoralGradient {
  Job job;
  Operands<T> to;
  CK_DEVICE void operator()(int64_t at) const {
    int64_t r = at;
    const int64_t k = take_index(r, job.d);
    double sum = 0;
    for (int64_t i = 0; i < job.d; ++i) sum += job.z[r * job.d + i] * job.matrix[i * job.d + k];
    to.store(job, r, k, job.by() * job.weight(r) * sum);
  }
};

template <class T>
void coral(const Call& call, const Job& job, const Operands<T>& operands, bool gradient) {
  const int64_t d = job.d;
  for_each(call, 2 * d, Centre<T>{job, operands});
  for_each(call, d * d, Covariance{job});
  sum_rows(call, d, d, SumSquares{job});
  sum_rows(call, 1, d, Total{job, job.by() / 4, call[2].as<double>()});
  if (gradient) for_each(call, job.rows * d, CoralGradient<T>{job, operands});
}

Workspace workspace(const convkit::Call& call) {
  return Job(call).bytes() + int64_t{sizeof(double)};
}

template <bool kGradient>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    Operands<T> operands{call[0].as<T>(), call[1].as<T>(), nullptr, nullptr};
    if constexpr (kGradient) {
      operands.da = call[3].as<T>();
      operands.db = call[4].as<T>();
    }
    const Job job(call);
    job.coral() ? coral(call, job, operands, kGradient) : mmd(call, job, operands, kGradient);
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &run<false>, nullptr, workspace},
    {"backward", "cuda_simple", kFloats, &run<true>, nullptr, workspace},
};

}  // namespace

extern const Table domain_distance_cuda_table = {"domain_distance", rows};

}  // namespace convkit::cuda
