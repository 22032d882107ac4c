// What a run keeps in device memory between its steps, and the kernels that advance it.
#pragma once

#include "cuda/kernel.h"

namespace convkit::cuda {

// What the host reads back.
struct ControlState {
  StepBlock block;
  int64_t done = 0;  // whole steps of this run
  int halted = 0;    // a guard did not hold: no later step counts
};

constexpr int kMostReadouts = 16;

// A step's readouts, added to the sums of the run.
struct ReadoutList {
  const double* source[kMostReadouts];
  int64_t width[kMostReadouts];
  int count = 0;
};

// Takes the learning rate of the next step from `rates`.
void launch_begin_step(const Call& call, ControlState* state, const double* rates);
// Halts the run if a number of the tensor is NaN or beyond the limit.
void launch_guard(const Call& call, ControlState* state, const Tensor& value, double limit);
// Counts the step, if it was not halted.
void launch_end_step(const Call& call, ControlState* state, const ReadoutList& readouts,
                     double* sums, int64_t batch, bool trains);

}  // namespace convkit::cuda
