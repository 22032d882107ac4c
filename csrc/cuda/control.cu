#include <algorithm>

#include "cuda/control.h"
#include "cuda/launch.cuh"

namespace convkit::cuda {
namespace {

// A number at a time, of one tensor after the other.
struct CheckGuards {
  static constexpr int kThreads = 256;
  ControlState* state;
  GuardList guards;

  template <class T>
  CK_DEVICE void check(const void* values, int64_t n, double most) const {
    const T* const value = static_cast<const T*>(values);
    constexpr double kLargest = sizeof(T) == 4 ? 3.40282346638528860e38 : 1.79769313486231571e308;
    const T limit = static_cast<T>(most < kLargest ? most : kLargest);  // an infinity is beyond it
    const int64_t step = int64_t{gridDim.x} * kThreads;
    bool holds = true;
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += step)
      holds = holds && value[i] >= -limit && value[i] <= limit;  // false for NaN
    if (!holds) atomicExch(&state->halted, 1);
  }
  CK_DEVICE void operator()() const {
    for (int g = 0; g < guards.count; ++g) {
      if (guards.wide >> g & 1)
        check<double>(guards.values[g], guards.size[g], guards.limit[g]);
      else
        check<float>(guards.values[g], guards.size[g], guards.limit[g]);
    }
  }
};

struct EndStep {
  static constexpr int kThreads = 1;
  ControlState* state;
  ReadoutList readouts;
  double* sums;
  const double* rates;
  int64_t batch;
  bool trains;

  CK_DEVICE void operator()() const {
    if (state->halted) return;
    double* sum = sums;
    for (int r = 0; r < readouts.count; ++r)
      for (int64_t i = 0; i < readouts.width[r]; ++i) *sum++ += readouts.source[r][i];
    state->block.sample += batch;
    if (trains) ++state->block.step;
    if (++state->done < state->steps) state->block.learning_rate = rates[state->done];
  }
};

}  // namespace

void launch_guards(const Call& call, ControlState* state, const GuardList& guards) {
  int64_t most = 0;
  for (int g = 0; g < guards.count; ++g) most = std::max(most, guards.size[g]);
  // Some eight numbers a thread.
  const int64_t blocks = std::min<int64_t>(ceil_div(most, 8 * CheckGuards::kThreads), 1024);
  launch(call, dim3(static_cast<unsigned>(blocks)), CheckGuards{state, guards});
}

void launch_end_step(const Call& call, ControlState* state, const ReadoutList& readouts,
                     double* sums, const double* rates, int64_t batch, bool trains) {
  launch(call, dim3(1), EndStep{state, readouts, sums, rates, batch, trains});
}

}  // namespace convkit::cuda
