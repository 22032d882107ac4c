#include "cuda/rows.cuh"
#include "cuda/tally.cuh"
#include "ops/confusion/confusion_formula.h"

namespace convkit::cuda {
namespace {

template <class T, int kWidth>
struct Cells {
  static constexpr int kThreads = kRowThreads;
  ConfusionRows<T> rows;
  int64_t* codes;

  CK_DEVICE void operator()() const {
    const Group<kWidth> group;
    for_rows<kWidth>(rows.rows, rows.k, [&](int64_t r, int64_t count) {
      const int64_t cell = rows.cell(group, r, count);
      if (count != 0 && group.lane() == 0) codes[r] = cell;
    });
  }
};

Workspace workspace(const convkit::Call& call) { return call[0].rows() * int64_t{sizeof(int64_t)}; }

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConfusionRows<T> rows(call);
    int64_t* const codes = reinterpret_cast<int64_t*>(call.workspace);
    choose_width(rows.k, [&](auto width) {
      launch(call, dim3(row_blocks(rows.rows, rows.k, false)),
             Cells<T, decltype(width)::value>{rows, codes});
    });
    launch_tally(call, Tally<T>{codes, 1, rows.classes * rows.classes, rows.rows, call[2].as<T>(),
                                1, call[3].as<double>()});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward, nullptr, workspace},
};

}  // namespace

extern const Table confusion_cuda_table = {"confusion", rows};

}  // namespace convkit::cuda
