#include "cuda/columns.cuh"
#include "ops/moments/moments_formula.h"

namespace convkit::cuda {
namespace {

template <class T>
struct Moments {
  static constexpr int kSums = 6;
  static constexpr bool kApplies = false;
  const T *p, *t, *weight;
  double* to;
  int64_t k;

  CK_DEVICE void add(int64_t i, int64_t channel, double (&sums)[kSums]) const {
    const double w = weight ? static_cast<double>(weight[(i - channel) / k]) : 1.0;
    if (w == 0) return;
    add_moments(w, static_cast<double>(p[i]), t ? static_cast<double>(t[i]) : 0.0, sums);
  }
  CK_DEVICE void finish(int64_t channel, const double (&sums)[kSums]) const {
    CK_UNROLL
    for (int s = 0; s < kSums; ++s) to[s * k + channel] = sums[s];
  }
};

Workspace workspace(const convkit::Call& call) { return sum_columns_bytes(Columns(call[0]), 6); }

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    sum_columns(call, Columns(call[0]),
                Moments<T>{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<double>(),
                           call[0].last()});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward, nullptr, workspace},
};

}  // namespace

extern const Table moments_cuda_table = {"moments", rows};

}  // namespace convkit::cuda
