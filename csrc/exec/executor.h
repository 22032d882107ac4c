// The native executor: runs the instructions of a program, step after step. It knows no Python; a
// kernel of an instruction may call it all the same, see OutsideRun.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "exec/bindings.h"
#include "simd/within.h"

namespace convkit {

struct Instruction {
  const Kernel* kernel = nullptr;
  std::vector<std::byte> params;
  std::vector<OperandRef> operands;
  OperandRef workspace;
  double seconds = -1;  // about, on one thread (ExpectedWork); negative: nobody knows
};

class Executor {
 public:
  // `batch` is the number of samples a step consumes; instructions from `commit` on change
  // parameters: they run only if all `guards` hold (of the loss, the gradients, and what gradients
  // are made of behind `commit`), and once begun they are not interrupted, so that a step is taken
  // whole or not at all.
  Executor(std::vector<Instruction> instructions, std::vector<Readout> readouts,
           std::vector<Guard> guards, int commit, int64_t batch);

  // Says where the buffers are; cheap, so that a run of one step may begin with it.
  void bind(const std::vector<void*>& buffers);
  RunResult run(const RunRequest& request);

  // Seconds per instruction for each of `repeats` steps, [repeats][instructions].
  std::vector<double> profile(const StepBlock& block, int repeats);

  int size() const { return static_cast<int>(instructions_.size()); }

 private:
  struct Bound {
    RunFn run;
    Call call;
    std::atomic<int64_t>* count;
    double seconds;
  };
  void run_one(const Bound& bound);
  bool guards_hold() const;
  bool step(const StepBlock& block, const RunRequest& request, bool* finite);

  std::vector<Instruction> instructions_;
  std::vector<Readout> readouts_;
  std::vector<OperandRef> guards_;  // in chunks
  int commit_;
  int64_t batch_;
  std::vector<std::vector<Tensor>> tensors_;
  std::vector<Bound> bound_;
  std::vector<const double*> readout_data_;
  std::vector<NumberRun> guard_runs_;
  double guard_seconds_ = 0;
  StepBlock block_;
};

// While it lives, this thread is as it was before its run: with the denormal mode of the caller and
// nothing polled, so that who is called from inside of the run may run programs of its own.
class OutsideRun {
 public:
  OutsideRun();
  ~OutsideRun();
  OutsideRun(const OutsideRun&) = delete;
  OutsideRun& operator=(const OutsideRun&) = delete;

 private:
  const RunRequest* request_;
  DenormalsFlushed::Mode caller_mode_;
  DenormalsFlushed::Mode mode_;
};

// How often a row has run in this process: the proof that a test tested what it names.
std::atomic<int64_t>& run_count(const Kernel& kernel);

}  // namespace convkit
