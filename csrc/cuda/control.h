// What a run keeps in device memory between its steps, and the kernels that advance it.
#pragma once

#include "cuda/kernel.h"

namespace convkit::cuda {

// What the host reads back.
struct ControlState {
  StepBlock block;
  int64_t done = 0;   // whole steps of this run
  int64_t steps = 0;  // that it has
  int halted = 0;     // a guard did not hold: no later step counts
};

constexpr int kMostReadouts = 16;

// A step's readouts, added to the sums of the run.
struct ReadoutList {
  const double* source[kMostReadouts];
  int64_t width[kMostReadouts];
  int count = 0;
};

constexpr int kMostGuards = 64;  // of a launch

// Tensors none of whose numbers may be NaN or beyond a limit.
struct GuardList {
  const void* values[kMostGuards];
  int64_t size[kMostGuards];
  double limit[kMostGuards];
  uint64_t wide = 0;  // which are of float64, as bits
  int count = 0;
};

// Halts the run if a guard does not hold.
void launch_guards(const Call& call, ControlState* state, const GuardList& guards);
// Counts the step, if it was not halted, and takes the learning rate of the next one from `rates`.
void launch_end_step(const Call& call, ControlState* state, const ReadoutList& readouts,
                     double* sums, const double* rates, int64_t batch, bool trains);

}  // namespace convkit::cuda
