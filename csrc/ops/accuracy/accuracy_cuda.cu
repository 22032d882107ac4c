#include "cuda/rows.cuh"
#include "cuda/totals.cuh"
#include "ops/accuracy/accuracy_stage.cuh"

namespace convkit::cuda {
namespace {

template <class T, int kWidth>
struct Matches {
  static constexpr int kThreads = kRowThreads;
  AccuracyParams params;
  const T* p;
  const int32_t* labels;  // or values
  const T *values, *weight;
  int64_t rows, k;
  double* to;

  CK_DEVICE void operator()() const {
    const Group<kWidth> group;
    double sums[2] = {};
    for_rows<kWidth>(rows, k, [&](int64_t r, int64_t count) {
      const double right = match(group, params, p + r * k, values ? values + r * k : nullptr,
                                 labels ? labels[r] : 0, count);
      if (count == 0 || group.lane() != 0) return;
      const double w = weight ? static_cast<double>(weight[r]) : 1.0;
      sums[0] += w * right;
      sums[1] += w;
    });
    add_up_block(sums, to);
  }
};

Workspace workspace(const convkit::Call& call) {
  return totals_bytes(row_blocks(call[0].rows(), call[0].last(), true), 2);
}

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool labels = call[1].dtype == Dtype::int32;
    const int64_t rows = call[0].rows(), k = call[0].last();
    choose_width(k, [&](auto width) {
      launch_totals<2>(call, row_blocks(rows, k, true), call[3].as<double>(), [&](double* to) {
        return Matches<T, decltype(width)::value>{call.as<AccuracyParams>(),
                                                  call[0].as<T>(),
                                                  labels ? call[1].as<int32_t>() : nullptr,
                                                  labels ? nullptr : call[1].as<T>(),
                                                  call[2].as<T>(),
                                                  rows,
                                                  k,
                                                  to};
      });
    });
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward, nullptr, workspace},
    sample_row<AccuracyStage>("forward"),
};

}  // namespace

extern const Table accuracy_cuda_table = {"accuracy", rows};

}  // namespace convkit::cuda
