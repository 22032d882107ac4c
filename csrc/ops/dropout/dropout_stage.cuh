#pragma once

#include "core/philox.h"
#include "cuda/index.cuh"
#include "cuda/stages.cuh"
#include "ops/dropout/dropout_numbers.h"

namespace convkit::cuda {

// A thread takes what a block of the generator says of the samples' values: those at the ends may
// be only some of the block's four.
struct DropoutStage : StageBody {
  static constexpr StageKind kKind = StageKind::dropout;
  static constexpr unsigned kBySample = operands(0, 1);
  const float* x;
  float* y;
  int64_t length;  // of a sample
  float scale;
  int32_t threshold;
  uint32_t stream;
  const StepBlock* step;

  explicit DropoutStage(const convkit::Call& call)
      : x(call[0].as<float>()),
        y(call[1].as<float>()),
        length(sample_size(call[1])),
        scale(dropout_scale<float>(call.as<DropoutParams>())),
        threshold(dropout_threshold(call.as<DropoutParams>())),
        stream(static_cast<uint32_t>(call.as<DropoutParams>().stream)),
        step(call.step) {}

  CK_DEVICE void sample(const Samples& s) const {
    const int64_t begin = s.first * length, end = begin + s.count * length;
    for (int64_t block = begin / 4 + threadIdx.x; 4 * block < end; block += kSampleThreads) {
      const Philox4 words = philox_block(step->seed, stream, static_cast<uint64_t>(step->step),
                                         static_cast<uint64_t>(block));
      CK_UNROLL
      for (int k = 0; k < 4; ++k) {
        const int64_t i = 4 * block + k;
        if (i < begin || i >= end) continue;
        y[i] = static_cast<int32_t>(words.v[k] >> 8) >= threshold ? x[i] * scale : 0.0f;
      }
    }
  }
};

}  // namespace convkit::cuda
