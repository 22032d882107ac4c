#include "cuda/stage_run.h"

#include <algorithm>
#include <string>

namespace convkit::cuda {
namespace {

template <class T>
std::unique_ptr<Memory> on_device(const std::vector<T>& values) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
  auto memory = std::make_unique<Memory>(bytes, MemoryKind::device);
  if (bytes > 0) copy_in(memory->data(), values.data(), bytes);
  return memory;
}

}  // namespace

void StageRun::append(const Kernel& kernel, const Call* call) {
  if (kernel.stage == nullptr)
    throw Error(std::string(kernel.name) + " of " + kernel.pass + " is no stage");
  parts_.push_back({&kernel, call});
}

void StageRun::make() {
  std::vector<Stage> stages, finishing;
  std::vector<FinishBlock> blocks;
  int64_t weights = 0, products = 0;
  samples_ = -1;
  for (const Part& part : parts_) {
    const int64_t samples = samples_of(*part.call, part.kernel->by_sample);
    if (samples < 0 || (samples_ >= 0 && samples != samples_))
      throw Error("stages of one run have different numbers of samples");
    samples_ = samples;
    Stage stage{};
    part.kernel->stage(*part.call, stage);
    weights += stage.weights;
    products += stage.products;
    if (stage.has_sample_part) stages.push_back(stage);
    if (stage.finish_blocks > 0) finishing.push_back(stage);
  }
  together_ = samples_together(weights, products);
  sample_parts_ = static_cast<int>(stages.size());
  for (const Stage& stage : finishing) {
    for (int32_t block = 0; block < stage.finish_blocks; ++block)
      blocks.push_back({static_cast<int32_t>(stages.size()), block});
    stages.push_back(stage);
  }
  finish_blocks_ = static_cast<int64_t>(blocks.size());
  stages_ = on_device(stages);
  blocks_ = on_device(blocks);
}

void StageRun::launch(const Call& call) const {
  const auto* stages = static_cast<const Stage*>(stages_->data());
  for (int first = 0; first < sample_parts_; first += kMostStages)
    launch_sample_parts(call, stages + first, std::min(sample_parts_ - first, kMostStages),
                        samples_, together_);
  if (finish_blocks_ > 0)
    launch_finish_parts(call, stages, static_cast<const FinishBlock*>(blocks_->data()),
                        finish_blocks_);
}

}  // namespace convkit::cuda
