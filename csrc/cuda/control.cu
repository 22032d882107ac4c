#include "cuda/control.h"
#include "cuda/launch.cuh"

namespace convkit::cuda {
namespace {

struct BeginStep {
  static constexpr int kThreads = 1;
  ControlState* state;
  const double* rates;

  CK_DEVICE void operator()() const { state->block.learning_rate = rates[state->done]; }
};

template <class T>
struct CheckWithin {
  ControlState* state;
  const T* value;
  T limit;

  CK_DEVICE void operator()(int64_t i) const {
    const T v = value[i];
    if (v >= -limit && v <= limit) return;  // false for NaN
    atomicExch(&state->halted, 1);
  }
};

struct EndStep {
  static constexpr int kThreads = 1;
  ControlState* state;
  ReadoutList readouts;
  double* sums;
  int64_t batch;
  bool trains;

  CK_DEVICE void operator()() const {
    if (state->halted) return;
    double* sum = sums;
    for (int r = 0; r < readouts.count; ++r)
      for (int64_t i = 0; i < readouts.width[r]; ++i) *sum++ += readouts.source[r][i];
    state->block.sample += batch;
    if (trains) ++state->block.step;
    ++state->done;
  }
};

}  // namespace

void launch_begin_step(const Call& call, ControlState* state, const double* rates) {
  launch(call, dim3(1), BeginStep{state, rates});
}

void launch_guard(const Call& call, ControlState* state, const Tensor& value, double limit) {
  dispatch_float(value.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each(call, value.size(), CheckWithin<T>{state, value.as<T>(), static_cast<T>(limit)});
  });
}

void launch_end_step(const Call& call, ControlState* state, const ReadoutList& readouts,
                     double* sums, int64_t batch, bool trains) {
  launch(call, dim3(1), EndStep{state, readouts, sums, batch, trains});
}

}  // namespace convkit::cuda
