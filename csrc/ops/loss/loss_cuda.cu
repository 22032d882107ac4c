#include "cuda/rows.cuh"
#include "cuda/totals.cuh"
#include "ops/loss/loss_stage.cuh"

namespace convkit::cuda {
namespace {

template <class T, int kWidth>
struct RowLosses {
  static constexpr int kThreads = kRowThreads;
  LossRows<T> rows;
  double* totals;

  CK_DEVICE void operator()() const {
    const Group<kWidth> group;
    double total[1] = {};
    for_rows<kWidth>(rows.rows, rows.k, [&](int64_t r, int64_t count) {
      const T loss = loss_of_row(group, rows, r, count);
      if (count == 0 || group.lane() != 0) return;
      rows.loss[r] = loss;
      total[0] += static_cast<double>(loss);
    });
    add_up_block(total, totals);
  }
};

// Losses and gradients of squared errors become those of the root of their mean.
template <class T>
struct TakeRoot {
  LossRows<T> rows;
  const double* squares;
  double* total;

  CK_DEVICE void operator()(int64_t i) const {
    const Root<T> of(*squares, rows.rows);
    if (i == 0) *total = of.total;
    if (i < rows.rows) rows.loss[i] = static_cast<T>(of.root);
    if (rows.dp) rows.dp[i] *= of.factor;
  }
};

unsigned blocks_of(const convkit::Call& call) {
  return row_blocks(call[0].rows(), call[0].last(), true);
}

// The total of squares stands behind the blocks' sums.
Workspace workspace(const convkit::Call& call) {
  return totals_bytes(blocks_of(call), 1) + int64_t{sizeof(double)};
}

template <bool kGradient>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const LossRows<T> rows(call, kGradient);
    const unsigned blocks = blocks_of(call);
    double* const total = call[5].as<double>();
    const bool root = rows.kind() == Loss::root_mean_squared_error && rows.rows > 0;
    double* const squares = reinterpret_cast<double*>(call.workspace + totals_bytes(blocks, 1));
    choose_width(rows.k, [&](auto width) {
      launch_totals<1>(call, blocks, root ? squares : total,
                       [&](double* to) { return RowLosses<T, decltype(width)::value>{rows, to}; });
    });
    if (root) for_each(call, rows.rows * rows.k, TakeRoot<T>{rows, squares, total});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &run<false>, nullptr, workspace},
    {"backward", "cuda_simple", kFloats, &run<true>, nullptr, workspace},
    sample_row<LossForwardStage>("forward"),
    sample_row<LossBackwardStage>("backward"),
};

}  // namespace

extern const Table loss_cuda_table = {"loss", rows};

}  // namespace convkit::cuda
