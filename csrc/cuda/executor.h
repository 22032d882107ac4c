// The CUDA executor: a program's step is captured once as a graph and replayed. What changes from
// step to step is in device memory, and kernels advance it, so that the host comes back only now
// and then: to poll for signals, to keep a time limit, and at the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/control.h"
#include "cuda/device.h"
#include "cuda/kernel.h"
#include "cuda/stage_run.h"
#include "exec/bindings.h"

namespace convkit::cuda {

struct Instruction {
  const Kernel* kernel = nullptr;
  std::vector<std::byte> params;
  std::vector<OperandRef> operands;
  OperandRef workspace;
};

class Executor {
 public:
  // As of convkit::Executor: instructions from `commit` on do nothing unless all guards hold. Those
  // of a stretch, all in front of `commit`, are stages of one run (stages.h).
  Executor(std::vector<Instruction> instructions, std::vector<Readout> readouts,
           std::vector<Guard> guards, int commit, int64_t batch, std::vector<Stretch> merged);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Says where the buffers are, in device memory; a step is captured anew where one has moved.
  void bind(const std::vector<void*>& buffers);
  RunResult run(const RunRequest& request);

  // Seconds per instruction for each of `repeats` steps, [repeats][instructions].
  std::vector<double> profile(const StepBlock& block, int repeats);

  // What its steps are put on.
  cudaStream_t stream() const { return stream_; }

  int size() const { return static_cast<int>(instructions_.size()); }

 private:
  struct Bound {
    LaunchFn run;
    Call call;
    std::atomic<int64_t>* count;
  };
  void begin_run(const RunRequest& request);
  void launch_step();
  void launch_guards();
  void share_out_guards();  // between runs of stages, as far as they can, and a kernel
  cudaGraphExec_t captured(int steps);
  void forget_graphs();
  ControlState read_control();

  std::vector<Instruction> instructions_;
  std::vector<Readout> readouts_;
  std::vector<Guard> guards_, unchecked_;
  int commit_;
  int64_t batch_;
  std::vector<void*> buffers_;
  std::vector<std::vector<Tensor>> tensors_;
  std::vector<Bound> bound_;
  std::vector<StageRun> runs_;
  Stream stream_;
  Memory control_, rates_, sums_;
  cudaGraphExec_t one_ = nullptr, several_ = nullptr;
};

// How often a row has run in this process, as convkit::run_count.
std::atomic<int64_t>& run_count(const Kernel& kernel);

}  // namespace convkit::cuda
