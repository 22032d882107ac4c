#include "cuda/index.cuh"
#include "cuda/kernel.h"
#include "cuda/tally.cuh"
#include "ops/histogram/histogram_formula.h"

namespace convkit::cuda {
namespace {

// The codes of a group lie side by side.
template <class T>
struct Cells {
  HistogramValues<T> of;
  int64_t* codes;

  CK_DEVICE void operator()(int64_t i) const {
    const int64_t columns = of.end - of.begin;
    int64_t r = i;
    const int64_t column = take_index(r, columns);
    codes[of.grouped() ? column * of.rows + r : i] = of.cell(r, of.begin + column);
  }
};

Workspace workspace(const convkit::Call& call) {
  const int64_t columns = call.as<HistogramParams>().column < 0 ? call[0].last() : 1;
  return call[0].rows() * columns * int64_t{sizeof(int64_t)};
}

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const HistogramValues<T> of(call);
    int64_t* const codes = reinterpret_cast<int64_t*>(call.workspace);
    const int64_t columns = of.end - of.begin, groups = of.grouped() ? of.k : 1;
    const int64_t items = of.rows * columns / (groups > 0 ? groups : 1);
    for_each(call, of.rows * columns, Cells<T>{of, codes});
    launch_tally(call, Tally<T>{codes, groups, of.cells(), items, call[3].as<T>(),
                                of.grouped() ? 1 : columns, call[4].as<double>()});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward, nullptr, workspace},
};

}  // namespace

extern const Table histogram_cuda_table = {"histogram", rows};

}  // namespace convkit::cuda
