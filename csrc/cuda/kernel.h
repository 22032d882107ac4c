// The tables of CUDA kernels: rows beside those of the CPU, with the same passes, operands and
// parameters (the op's header), in a module of their own that is loaded where a GPU is wanted.
#pragma once

#include <span>
#include <string>

#include "core/kernel.h"
#include "cuda/runtime.h"

namespace convkit::cuda {

// One invocation, as on the CPU, but all data is in device memory: operands, workspace and the step
// block too, which a launcher therefore cannot read. There is no pool.
struct Call : convkit::Call {
  cudaStream_t stream = nullptr;
  // Behind program.commit: a flag in device memory. Where it is set, kernels do nothing: the step
  // was not finite and changes no parameter. Null: there is none.
  const int* halted = nullptr;
};

// Launches kernels on the call's stream and returns; never allocates, waits or reads device memory,
// since launches are captured in graphs.
using LaunchFn = void (*)(const Call&);

// A row that can share a launch with others has a stage, too (cuda/stages.cuh).
struct Stage;
using StageFn = void (*)(const Call&, Stage&);

// Where a row has been held against its reference.
enum class Proof { emulated, hardware };
constexpr const char* kProofNames[] = {"emulated", "hardware"};

// What the operands of a product are rounded to; sums are of the operands' dtype in any case.
enum class Precision { full, tf32, bf16 };
constexpr const char* kPrecisionNames[] = {"full", "tf32", "bf16"};

struct Kernel {
  const char* pass;
  const char* name;  // cuda_<algorithm>
  unsigned dtypes;   // which dtypes of the first operand, as bits
  LaunchFn run;
  SupportsFn supports = nullptr;    // null: everything
  WorkspaceFn workspace = nullptr;  // null: none
  Proof proved = Proof::emulated;
  Precision precision = Precision::full;
  StageFn stage = nullptr;  // null: none
  // Of such a row, operands as bits: those with a sample for each of the batch's, and those in
  // whose numbers its finish part looks for NaN and infinity as it writes them.
  unsigned by_sample = 0, checked = 0;
};

struct Table {
  const char* op;
  std::span<const Kernel> rows;  // best first
};

// The tables of this build: each csrc/ops/<op>/<op>_cuda.cu defines <op>_cuda_table.
std::span<const Table* const> all_tables();
const Table* find_table(const std::string& op);
const Kernel* find_kernel(const Table& table, const std::string& pass, const std::string& name);

}  // namespace convkit::cuda
