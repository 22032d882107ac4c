// The two kernels of stages, which know all structs that are one.
#include <algorithm>

#include "cuda/stages.cuh"
#include "ops/accuracy/accuracy_stage.cuh"
#include "ops/activation/activation_stage.cuh"
#include "ops/add/add_stage.cuh"
#include "ops/conv2d/conv2d_stage.cuh"
#include "ops/dense/dense_stage.cuh"
#include "ops/dropout/dropout_stage.cuh"
#include "ops/gather_rows/gather_rows_stage.cuh"
#include "ops/loss/loss_stage.cuh"
#include "ops/pool2d/pool2d_stage.cuh"
#include "ops/softmax/softmax_stage.cuh"

namespace convkit::cuda {
namespace {

template <class... Body>
struct Bodies {
  // f(the struct that the stage is).
  template <class F>
  CK_DEVICE static void visit(const Stage& stage, const F& f) {
    static_cast<void>(((stage.kind == Body::kKind && (f(stage.as<Body>()), true)) || ...));
  }
};
using AllBodies =
    Bodies<AddStage, GatherStage, ConvForwardStage, ConvBackwardInputStage, ConvBackwardWeightStage,
           DenseForwardStage, DenseBackwardInputStage, DenseBackwardWeightStage, MaxForwardStage,
           MaxBackwardStage, AverageForwardStage, AverageBackwardStage,
           ActivationStage<StageKind::activation_forward>,
           ActivationStage<StageKind::activation_from_input>,
           ActivationStage<StageKind::activation_from_output>, DropoutStage,
           SoftmaxStage<StageKind::softmax_forward, Softmax>,
           SoftmaxStage<StageKind::softmax_backward, SoftmaxBackward>,
           SoftmaxStage<StageKind::log_softmax_forward, LogSoftmax>,
           SoftmaxStage<StageKind::log_softmax_backward, LogSoftmaxBackward>, LossStage,
           AccuracyStage>;

// Copies to shared memory, by all threads of a block.
CK_DEVICE void fetch(const Stage* from, int count, Stage* to) {
  constexpr int kWords = sizeof(Stage) / 16;
  for (int i = threadIdx.x; i < count * kWords; i += blockDim.x)
    reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
  __syncthreads();
}

struct RunSamples {
  static constexpr int kThreads = kSampleThreads;
  Stage alone;
  const Stage* list;  // null: only `alone`
  int count, together;
  int64_t samples;

  CK_DEVICE void operator()() const {
    CK_SHARED(Stage, stages, [kMostStages]);
    CK_SHARED(float, scratch, [kScratchFloats]);
    fetch(list ? list : &alone, count, stages);
    const int64_t step = int64_t{gridDim.x} * together;
    for (int64_t first = int64_t{blockIdx.x} * together; first < samples; first += step) {
      const int64_t left = samples - first;
      const Samples own{first, static_cast<int>(left < together ? left : together), scratch};
      for (int i = 0; i < count; ++i) {
        AllBodies::visit(stages[i], [&](const auto& body) { body.sample(own); });
        __syncthreads();
      }
    }
  }
};

struct RunFinish {
  static constexpr int kThreads = kFinishThreads;
  Stage alone;
  const Stage* list;  // null: only `alone`
  const FinishBlock* blocks;
  int* halted;  // or null

  CK_DEVICE void operator()() const {
    CK_SHARED(Stage, stage, [1]);
    CK_SHARED(float, scratch, [kFinishScratchFloats]);
    const FinishBlock own =
        list ? blocks[blockIdx.x] : FinishBlock{0, static_cast<int32_t>(blockIdx.x)};
    fetch(list ? list + own.stage : &alone, 1, stage);
    bool finite = true;
    AllBodies::visit(stage[0], [&](const auto& body) { body.finish(own.block, scratch, finite); });
    if (!finite && halted != nullptr) atomicExch(halted, 1);
  }
};

unsigned sample_blocks(int64_t samples, int together) {
  return static_cast<unsigned>(std::min(ceil_div(samples, together), kMostSampleBlocks));
}

}  // namespace

void launch_sample_parts(const Call& call, const Stage* stages, int count, int64_t samples,
                         int together) {
  launch(call, dim3(sample_blocks(samples, together)),
         RunSamples{{}, stages, count, together, samples});
}

void launch_finish_parts(const Call& call, const Stage* stages, const FinishBlock* blocks,
                         int64_t count, int* halted) {
  launch(call, dim3(static_cast<unsigned>(count)), RunFinish{{}, stages, blocks, halted});
}

void launch_stage(const Call& call, const Stage& stage, int64_t samples) {
  const int together = samples_together(stage.weights, stage.products);
  if (stage.has_sample_part)
    launch(call, dim3(sample_blocks(samples, together)),
           RunSamples{stage, nullptr, 1, together, samples});
  if (stage.finish_blocks > 0)
    launch(call, dim3(static_cast<unsigned>(stage.finish_blocks)),
           RunFinish{stage, nullptr, nullptr, nullptr});
}

}  // namespace convkit::cuda
