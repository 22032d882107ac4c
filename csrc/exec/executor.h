// The native executor: runs the instructions of a program, step after step. It knows no Python; a
// kernel of an instruction may call it all the same, see OutsideRun.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/kernel.h"
#include "simd/within.h"

namespace convkit {

// Where an operand lives: an offset in one of the buffers that are bound for each run.
struct OperandRef {
  int buffer = -1;  // -1: absent
  int64_t offset = 0;
  Dtype dtype = Dtype::float32;
  std::vector<int64_t> shape;
};

struct Instruction {
  const Kernel* kernel = nullptr;
  std::vector<std::byte> params;
  std::vector<OperandRef> operands;
  OperandRef workspace;
  double seconds = -1;  // about, on one thread (ExpectedWork); negative: nobody knows
};

// A small float64 vector that an instruction leaves behind in every step (the total of a loss, the
// count of an accuracy); the executor sums it over the steps of a run.
struct Readout {
  OperandRef source;
  int64_t width = 0;
};

// What must hold before a step changes parameters: every |value| is at most the limit, and none is
// NaN or infinite.
struct Guard {
  OperandRef value;
  double limit = 0;
};

enum class RunStatus { done, time_up, not_finite, interrupted };

struct RunRequest {
  int64_t steps = 0;
  const double* learning_rates = nullptr;  // one per step, or null
  StepBlock block;
  double time_limit = 0.0;  // seconds after which no new step starts; 0: none
  double* sums = nullptr;   // one value per readout element, in order; added to
  bool (*poll)(void*) = nullptr;
  void* poll_context = nullptr;
};

struct RunResult {
  int64_t steps = 0;  // completed
  RunStatus status = RunStatus::done;
  StepBlock block;  // as the next step would see it
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
