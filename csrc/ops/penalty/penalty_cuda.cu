#include "cuda/totals.cuh"
#include "ops/penalty/penalty_formula.h"

namespace convkit::cuda {
namespace {

constexpr int64_t kBlockValues = 16 * kTotalsThreads;  // at least, where there are several blocks

// Sums of a block's values, and their derivatives to d or, if they add up, onto it.
template <class T, bool kAdd>
struct Penalise {
  static constexpr int kThreads = kTotalsThreads;
  Slopes<T> slopes;
  PenaltyParams params;
  const T* x;
  T* d;  // null: not wanted
  int64_t n;
  double* to;  // two sums of each block or, of the only one, the total

  CK_DEVICE void operator()() const {
    double sums[2] = {};
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n;
         i += int64_t{gridDim.x} * kThreads) {
      const T value = x[i];
      const double v = static_cast<double>(value);
      sums[0] += v < 0 ? -v : v;
      sums[1] += v * v;
      if (d) d[i] = (kAdd ? d[i] : T(0)) + slopes(value);
    }
    const double absolute = block_sum<kThreads>(sums[0]);
    const double squares = block_sum<kThreads>(sums[1]);
    if (threadIdx.x != 0) return;
    if (gridDim.x == 1) {
      *to = total_penalty(params, absolute, squares);
    } else {
      to[2 * blockIdx.x] = absolute;
      to[2 * blockIdx.x + 1] = squares;
    }
  }
};

struct AddUpPenalty {
  static constexpr int kThreads = kTotalsThreads;
  PenaltyParams params;
  const double* partial;
  double* total;
  int64_t blocks;

  CK_DEVICE void operator()() const {
    double absolute = 0, squares = 0;
    for (int64_t block = threadIdx.x; block < blocks; block += kThreads) {
      absolute += partial[2 * block];
      squares += partial[2 * block + 1];
    }
    absolute = block_sum<kThreads>(absolute);
    squares = block_sum<kThreads>(squares);
    if (threadIdx.x == 0) *total = total_penalty(params, absolute, squares);
  }
};

unsigned blocks_of(const convkit::Call& call) {
  const int64_t blocks = ceil_div(call[0].size(), kBlockValues);
  return static_cast<unsigned>(blocks < 2 ? 1 : blocks < 1024 ? blocks : 1024);
}

Workspace workspace(const convkit::Call& call) { return totals_bytes(blocks_of(call), 2); }

template <bool kAdd>
void run(const Call& call, const Tensor& total, const Tensor* derivatives) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const PenaltyParams& params = call.as<PenaltyParams>();
    const unsigned blocks = blocks_of(call);
    double* const to = total.as<double>();
    double* const partial = blocks > 1 ? reinterpret_cast<double*>(call.workspace) : to;
    launch(
        call, dim3(blocks),
        Penalise<T, kAdd>{Slopes<T>(params), params, call[0].as<T>(),
                          derivatives ? derivatives->as<T>() : nullptr, call[0].size(), partial});
    if (blocks > 1) launch(call, dim3(1), AddUpPenalty{params, partial, to, blocks});
  });
}

void forward(const Call& call) { run<false>(call, call[1], nullptr); }
void backward(const Call& call) { run<false>(call, call[1], &call[2]); }
void accumulate(const Call& call) { run<true>(call, call[2], &call[1]); }

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward, nullptr, workspace},
    {"backward", "cuda_simple", kFloats, &backward, nullptr, workspace},
    {"accumulate", "cuda_simple", kFloats, &accumulate, nullptr, workspace},
};

}  // namespace

extern const Table penalty_cuda_table = {"penalty", rows};

}  // namespace convkit::cuda
