#pragma once

#include "cuda/rows.cuh"
#include "cuda/stages.cuh"
#include "ops/softmax/softmax_formula.h"

namespace convkit::cuda {

// A warp takes a row.
template <StageKind pass, class Formula>
struct SoftmaxStage : StageBody {
  static constexpr StageKind kKind = pass;
  static constexpr bool kForward =
      pass == StageKind::softmax_forward || pass == StageKind::log_softmax_forward;
  static constexpr unsigned kBySample = kForward ? operands(0, 1) : operands(0, 1, 2);
  const float *a, *b;
  float* to;
  int64_t rows, k;  // rows of a sample

  explicit SoftmaxStage(const convkit::Call& call)
      : a(call[0].as<float>()),
        b(call[kForward ? 0 : 1].as<float>()),
        to(call[kForward ? 1 : 2].as<float>()),
        rows(call[0].shape[0] ? call[0].rows() / call[0].shape[0] : 0),
        k(call[0].last()) {}

  static bool supports(const convkit::Call& call) { return call[0].rank >= 2; }

  CK_DEVICE void sample(const Samples& s) const {
    s.each_row(rows,
               [&](int64_t r) { Formula::row(Group<32>{}, a + r * k, b + r * k, to + r * k, k); });
  }
};

}  // namespace convkit::cuda
