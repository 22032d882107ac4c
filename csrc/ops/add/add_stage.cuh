#pragma once

#include "cuda/stages.cuh"
#include "ops/add/add.h"

namespace convkit::cuda {

struct AddStage : StageBody {
  static constexpr StageKind kKind = StageKind::add;
  static constexpr unsigned kBySample = operands(0, 1, 2);
  const float *a, *b;
  float* y;
  int64_t length;  // of a sample

  explicit AddStage(const convkit::Call& call)
      : a(call[0].as<float>()),
        b(call[1].as<float>()),
        y(call[2].as<float>()),
        length(sample_size(call[2])) {}

  CK_DEVICE void sample(const Samples& s) const {
    s.each(length, [&](int64_t i) { y[i] = a[i] + b[i]; });
  }
};

}  // namespace convkit::cuda
