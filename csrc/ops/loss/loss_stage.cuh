#pragma once

#include "cuda/rows.cuh"
#include "cuda/stages.cuh"
#include "ops/loss/loss_formula.h"

namespace convkit::cuda {

// A warp takes a row; the total is a finish part. Not for the kind that couples the rows.
struct LossStage : StageBody {
  static constexpr StageKind kKind = StageKind::loss;
  static constexpr unsigned kChecked = operands(5);
  LossRows<float> rows;
  double* total;
  int64_t of_sample;  // rows

  LossStage(const convkit::Call& call, bool gradient)
      : rows(call, gradient),
        total(call[5].as<double>()),
        of_sample(call[0].shape[0] ? call[0].rows() / call[0].shape[0] : 0) {}

  static bool supports(const convkit::Call& call) {
    return call[0].rank >= 2 &&
           static_cast<Loss>(call.as<LossParams>().kind) != Loss::root_mean_squared_error;
  }
  int64_t finish_blocks() const { return 1; }

  CK_DEVICE void sample(const Samples& s) const {
    s.each_row(of_sample, [&](int64_t r) {
      const float loss = loss_of_row(Group<32>{}, rows, r, rows.k);
      if (threadIdx.x % 32 == 0) rows.loss[r] = loss;
    });
  }
  CK_DEVICE void finish(int, float*, bool& finite) const {
    finite =
        finish_totals<1>(rows.rows, total, [&](int64_t r, int) { return double{rows.loss[r]}; });
  }
};

// Which pass it is, only the host knows; on the device both are one.
struct LossForwardStage : LossStage {
  static constexpr unsigned kBySample = operands(0, 1, 2, 4);
  explicit LossForwardStage(const convkit::Call& call) : LossStage(call, false) {}
};
struct LossBackwardStage : LossStage {
  static constexpr unsigned kBySample = operands(0, 1, 2, 4, 6);
  explicit LossBackwardStage(const convkit::Call& call) : LossStage(call, true) {}
};

}  // namespace convkit::cuda
