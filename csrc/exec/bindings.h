// What executors of all devices have in common: where the operands of a program's instructions
// live, and how a run is asked for and ends.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernel.h"

namespace convkit {

// Where an operand lives: an offset in one of the buffers that are bound for each run.
struct OperandRef {
  int buffer = -1;  // -1: absent
  int64_t offset = 0;
  Dtype dtype = Dtype::float32;
  std::vector<int64_t> shape;
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

// The address of an operand, null where it is absent.
inline void* locate(const OperandRef& ref, const std::vector<void*>& buffers) {
  if (ref.buffer < 0) return nullptr;
  return static_cast<std::byte*>(buffers.at(static_cast<std::size_t>(ref.buffer))) + ref.offset;
}

inline Tensor tensor_of(const OperandRef& ref, void* data) {
  Tensor t;
  t.data = data;
  t.dtype = ref.dtype;
  t.rank = static_cast<int>(ref.shape.size());
  for (int i = 0; i < t.rank; ++i) t.shape[i] = ref.shape[static_cast<std::size_t>(i)];
  return t;
}

}  // namespace convkit
