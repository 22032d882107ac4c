#include "ops/softmax/softmax_stage.cuh"

namespace convkit::cuda {
namespace {

// Formula::row(group, a, b, to, k) for every row of operands a and, where there is one, b.
template <class Formula, class T, int kWidth>
struct EachRow {
  static constexpr int kThreads = kRowThreads;
  const T *a, *b;
  T* to;
  int64_t rows, k;

  CK_DEVICE void operator()() const {
    for_rows<kWidth>(rows, k, [&](int64_t r, int64_t count) {
      Formula::row(Group<kWidth>{}, a + r * k, b + r * k, to + r * k, count);
    });
  }
};

template <class Formula, int kInputs>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t rows = call[0].rows(), k = call[0].last();
    choose_width(k, [&](auto width) {
      launch(call, dim3(row_blocks(rows, k, false)),
             EachRow<Formula, T, decltype(width)::value>{call[0].as<T>(), call[kInputs - 1].as<T>(),
                                                         call[kInputs].as<T>(), rows, k});
    });
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &run<Softmax, 1>},
    {"backward", "cuda_simple", kFloats, &run<SoftmaxBackward, 2>},
    {"log_forward", "cuda_simple", kFloats, &run<LogSoftmax, 1>},
    {"log_backward", "cuda_simple", kFloats, &run<LogSoftmaxBackward, 2>},
    sample_row<SoftmaxStage<StageKind::softmax_forward, Softmax>>("forward"),
    sample_row<SoftmaxStage<StageKind::softmax_backward, SoftmaxBackward>>("backward"),
    sample_row<SoftmaxStage<StageKind::log_softmax_forward, LogSoftmax>>("log_forward"),
    sample_row<SoftmaxStage<StageKind::log_softmax_backward, LogSoftmaxBackward>>("log_backward"),
};

}  // namespace

extern const Table softmax_cuda_table = {"softmax", rows};

}  // namespace convkit::cuda
