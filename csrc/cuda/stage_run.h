// Instructions of a program that are stages of the same launches.
#pragma once

#include <memory>
#include <vector>

#include "cuda/device.h"
#include "cuda/stages.h"

namespace convkit::cuda {

struct Stretch {
  int begin, end;  // instructions [begin, end)
};

class StageRun {
 public:
  explicit StageRun(const Stretch& stretch) : stretch_(stretch) {}

  // The next instruction; the call stays where it is. Throws Error if its row has no stage.
  void append(const Kernel& kernel, const Call* call);

  // Puts the stages into device memory, from what the calls are now.
  void make();

  // Has *halted become 1 where numbers of these tensors are not finite. Gives which of them that
  // comes to: all that the finish parts check must be theirs, and make up a whole tensor, but for
  // gaps between parameters.
  std::vector<bool> check(const std::vector<Tensor>& tensors, int* halted);

  void launch(const Call& call) const;

  const Stretch& stretch() const { return stretch_; }

 private:
  struct Part {
    const Kernel* kernel;
    const Call* call;
  };
  Stretch stretch_;
  std::vector<Part> parts_;
  int64_t samples_ = 0, finish_blocks_ = 0;
  int together_ = 1, sample_parts_ = 0;
  std::vector<Tensor> checked_;
  int* halted_ = nullptr;
  // Stages with a sample part, in order; then all that have a finish part.
  std::unique_ptr<Memory> stages_, blocks_;
};

}  // namespace convkit::cuda
