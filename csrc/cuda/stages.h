// Steps of small networks in few launches. Most of a step is work on one sample at a time, and a
// launch costs more than such work takes. So a row may be a *stage*, that shares launches with
// those before and behind it. It has up to two parts:
//
//   the sample part   what a block does for its own samples, with all of its threads: it reads and
//                     writes their values, which earlier stages of the block have made, and reads
//                     what the whole batch has in common (weights, tables);
//   the finish part   work over the whole batch, in blocks that do not depend on each other, when
//                     the sample parts of all stages are done: gradients of weights, totals.
//
// One launch makes the sample parts of a list of stages, in order, another one all finish parts
// side by side. Bits depend neither on how samples are dealt out nor on what else is in the list.
//
// This file is what the host knows of them; stages.cuh is how one is written.
#pragma once

#include <cstdint>
#include <new>
#include <type_traits>

#include "cuda/kernel.h"

namespace convkit::cuda {

enum class StageKind : int32_t {
  add,
  gather_rows,
  conv2d_forward,
  conv2d_backward_input,
  conv2d_backward_weight,
  dense_forward,
  dense_backward_input,
  dense_backward_weight,
  max_pool_forward,
  max_pool_backward,
  average_pool_forward,
  average_pool_backward,
  activation_forward,
  activation_from_input,
  activation_from_output,
  dropout,
  softmax_forward,
  softmax_backward,
  log_softmax_forward,
  log_softmax_backward,
  loss,
  accuracy,
};

constexpr int kStageBytes = 192;

// A union of all structs that are stages, as bytes; the kind says which one is there.
struct alignas(16) Stage {
  StageKind kind;
  int32_t has_sample_part;
  int32_t finish_blocks;  // 0: there is no finish part
  int64_t weights;        // that a block reads once for all its samples, each used once by a sample
  int64_t products;       // of a sample, beside those with such weights
  alignas(16) unsigned char body[kStageBytes];

  template <class Body>
  CK_INLINE const Body& as() const {
    return *reinterpret_cast<const Body*>(body);
  }
};

// A block of a finish part.
struct FinishBlock {
  int32_t stage, block;
};

constexpr int kMostStages = 24;   // of a launch of sample parts
constexpr int kMostTogether = 4;  // samples of a block

// Samples that a block takes: several, where weights are most of what it reads.
inline int samples_together(int64_t weights, int64_t products) {
  return weights > products ? kMostTogether : 1;
}

// Of stages in device memory.
void launch_sample_parts(const Call& call, const Stage* stages, int count, int64_t samples,
                         int together);
// *halted becomes 1 if a number that is checked is not finite; null: nothing is done about it.
void launch_finish_parts(const Call& call, const Stage* stages, const FinishBlock* blocks,
                         int64_t count, int* halted);
// Of one stage, by itself.
void launch_stage(const Call& call, const Stage& stage, int64_t samples);

// Operands by their numbers, as bits.
template <class... Numbers>
constexpr unsigned operands(Numbers... numbers) {
  return ((1u << numbers) | ...);
}

// How many samples a call has; -1 if the operands in question are not all of one number.
inline int64_t samples_of(const convkit::Call& call, unsigned by_sample) {
  int64_t samples = -1;
  for (int i = 0; i < call.count; ++i) {
    const Tensor& t = call[i];
    if (!(by_sample >> i & 1) || t.rank == 0) continue;  // rank 0: it is absent
    if (samples >= 0 && t.shape[0] != samples) return -1;
    samples = t.shape[0];
  }
  return samples;
}

template <class Body>
void make_stage(const Call& call, Stage& stage) {
  static_assert(std::is_trivially_copyable_v<Body> && sizeof(Body) <= kStageBytes);
  const Body body(call);
  stage.kind = Body::kKind;
  stage.has_sample_part = Body::kHasSamplePart;
  stage.finish_blocks = static_cast<int32_t>(body.finish_blocks());
  stage.weights = body.weights();
  stage.products = body.products();
  new (stage.body) Body(body);
}

template <class Body>
void run_stage(const Call& call) {
  Stage stage{};
  make_stage<Body>(call, stage);
  launch_stage(call, stage, samples_of(call, Body::kBySample));
}

template <class Body>
bool supports_stage(const convkit::Call& call) {
  if (samples_of(call, Body::kBySample) < 0) return false;
  for (int i = 0; i < call.count; ++i)
    if (call[i].size() > (int64_t{1} << 28)) return false;  // indices have 32 bits
  return Body::supports(call);
}

// The row of a struct that is a stage.
template <class Body>
constexpr Kernel sample_row(const char* pass) {
  return {pass,
          "cuda_sample",
          Body::kDtypes,
          &run_stage<Body>,
          &supports_stage<Body>,
          &Body::workspace,
          Proof::emulated,
          Precision::full,
          &make_stage<Body>,
          Body::kBySample,
          Body::kChecked};
}

}  // namespace convkit::cuda
