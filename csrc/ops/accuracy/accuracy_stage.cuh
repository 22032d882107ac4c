#pragma once

#include "cuda/rows.cuh"
#include "cuda/stages.cuh"
#include "ops/accuracy/accuracy_formula.h"

namespace convkit::cuda {

// A warp takes a row; what it counts, and its weight, go to the workspace, and a finish part adds
// them up.
struct AccuracyStage : StageBody {
  static constexpr StageKind kKind = StageKind::accuracy;
  static constexpr unsigned kBySample = operands(0, 1, 2);
  AccuracyParams params;
  const float* p;
  const int32_t* labels;  // or values
  const float *values, *weight;
  int64_t rows, of_sample, k;  // rows in all and of a sample
  double *found, *result;

  explicit AccuracyStage(const convkit::Call& call)
      : params(call.as<AccuracyParams>()),
        p(call[0].as<float>()),
        labels(call[1].dtype == Dtype::int32 ? call[1].as<int32_t>() : nullptr),
        values(labels ? nullptr : call[1].as<float>()),
        weight(call[2].as<float>()),
        rows(call[0].rows()),
        of_sample(call[0].shape[0] ? rows / call[0].shape[0] : 0),
        k(call[0].last()),
        found(reinterpret_cast<double*>(call.workspace)),
        result(call[3].as<double>()) {}

  static bool supports(const convkit::Call& call) { return call[0].rank >= 2; }
  static Workspace workspace(const convkit::Call& call) {
    return call[0].rows() * int64_t{2 * sizeof(double)};
  }
  int64_t finish_blocks() const { return 1; }

  CK_DEVICE void sample(const Samples& s) const {
    s.each_row(of_sample, [&](int64_t r) {
      const double right = match(Group<32>{}, params, p + r * k, values ? values + r * k : nullptr,
                                 labels ? labels[r] : 0, k);
      if (threadIdx.x % 32 != 0) return;
      const double w = weight ? static_cast<double>(weight[r]) : 1.0;
      found[2 * r] = w * right;
      found[2 * r + 1] = w;
    });
  }
  CK_DEVICE void finish(int, float*, bool&) const {
    finish_totals<2>(rows, result, [&](int64_t r, int i) { return found[2 * r + i]; });
  }
};

}  // namespace convkit::cuda
