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

const std::byte* begin(const Tensor& t) { return t.as<std::byte>(); }
const std::byte* end(const Tensor& t) { return t.as<std::byte>() + t.bytes(); }
bool within(const Tensor& part, const Tensor& whole) {
  return begin(part) >= begin(whole) && end(part) <= end(whole);
}

// Whether the parts that are within a tensor, in the order of memory, leave nothing of it out: as
// parameters are 64-byte aligned, none has room in a smaller gap.
bool make_up(const std::vector<Tensor>& parts, const Tensor& whole) {
  constexpr std::ptrdiff_t kAlignment = 64;
  const std::byte* at = begin(whole);
  for (const Tensor& part : parts) {
    if (!within(part, whole)) continue;
    if (begin(part) - at >= kAlignment) return false;
    at = end(part);
  }
  return at > begin(whole) && end(whole) - at < kAlignment;
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
  checked_.clear();
  halted_ = nullptr;
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
    for (int i = 0; i < part.call->count; ++i)
      if ((part.kernel->checked >> i & 1) && (*part.call)[i].present())
        checked_.push_back((*part.call)[i]);
  }
  std::sort(checked_.begin(), checked_.end(),
            [](const Tensor& a, const Tensor& b) { return begin(a) < begin(b); });
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

std::vector<bool> StageRun::check(const std::vector<Tensor>& tensors, int* halted) {
  std::vector<bool> found(tensors.size());
  for (const Tensor& part : checked_)
    if (std::none_of(tensors.begin(), tensors.end(),
                     [&](const Tensor& whole) { return within(part, whole); }))
      return found;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    found[i] = make_up(checked_, tensors[i]);
    if (found[i]) halted_ = halted;
  }
  return found;
}

void StageRun::launch(const Call& call) const {
  const auto* stages = static_cast<const Stage*>(stages_->data());
  for (int first = 0; first < sample_parts_; first += kMostStages)
    launch_sample_parts(call, stages + first, std::min(sample_parts_ - first, kMostStages),
                        samples_, together_);
  if (finish_blocks_ > 0)
    launch_finish_parts(call, stages, static_cast<const FinishBlock*>(blocks_->data()),
                        finish_blocks_, halted_);
}

}  // namespace convkit::cuda
