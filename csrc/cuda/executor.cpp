#include "cuda/executor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>

namespace convkit::cuda {
namespace {

constexpr int64_t kMostRates = 4096;  // learning rates that are handed over at a time
constexpr int kSeveral = 16;          // steps of the larger graph
constexpr double kSlice = 0.01;       // seconds between two looks at the clock and the signals

double now() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

int64_t total_width(const std::vector<Readout>& readouts) {
  int64_t width = 0;
  for (const Readout& r : readouts) width += r.width;
  return width;
}

bool overlap(const Tensor& a, const Tensor& b) {
  const auto *first = a.as<std::byte>(), *second = b.as<std::byte>();
  return first < second + b.bytes() && second < first + a.bytes();
}

}  // namespace

std::atomic<int64_t>& run_count(const Kernel& kernel) {
  static std::mutex mutex;
  static std::map<const Kernel*, std::unique_ptr<std::atomic<int64_t>>> counts;
  const std::lock_guard lock(mutex);
  auto& count = counts[&kernel];
  if (!count) count = std::make_unique<std::atomic<int64_t>>(0);
  return *count;
}

Executor::Executor(std::vector<Instruction> instructions, std::vector<Readout> readouts,
                   std::vector<Guard> guards, int commit, int64_t batch,
                   std::vector<Stretch> merged)
    : instructions_(std::move(instructions)),
      readouts_(std::move(readouts)),
      guards_(std::move(guards)),
      commit_(commit),
      batch_(batch),
      control_(sizeof(ControlState), MemoryKind::device),
      rates_(kMostRates * 8, MemoryKind::device),
      sums_(total_width(readouts_) * 8, MemoryKind::device) {
  if (readouts_.size() > kMostReadouts)
    throw Error("a CUDA program has at most " + std::to_string(kMostReadouts) + " metrics");
  auto* state = static_cast<ControlState*>(control_.data());
  for (int i = 0; i < size(); ++i) {
    const Instruction& instruction = instructions_[static_cast<std::size_t>(i)];
    std::vector<Tensor>& tensors = tensors_.emplace_back();
    for (const OperandRef& ref : instruction.operands) tensors.push_back(tensor_of(ref, nullptr));
    Call call;
    call.operands = tensors.data();
    call.count = static_cast<int>(tensors.size());
    call.params = instruction.params.data();
    call.step = &state->block;
    call.stream = stream_;
    call.halted = i >= commit_ ? &state->halted : nullptr;
    bound_.push_back({instruction.kernel->run, call, &run_count(*instruction.kernel)});
  }
  for (const Stretch& stretch : merged) {
    const int before = runs_.empty() ? 0 : runs_.back().stretch().end;
    if (stretch.begin < before || stretch.end <= stretch.begin || stretch.end > commit_)
      throw Error("stretches of stages do not follow each other in front of the commit");
    runs_.emplace_back(stretch);
    for (int i = stretch.begin; i < stretch.end; ++i) {
      const Bound& bound = bound_[static_cast<std::size_t>(i)];
      runs_.back().append(*instructions_[static_cast<std::size_t>(i)].kernel, &bound.call);
    }
  }
}

Executor::~Executor() { forget_graphs(); }

void Executor::forget_graphs() {
  for (cudaGraphExec_t* graph : {&one_, &several_}) {
    if (*graph) cudaGraphExecDestroy(*graph);
    *graph = nullptr;
  }
}

void Executor::bind(const std::vector<void*>& buffers) {
  if (buffers == buffers_) return;
  for (void* buffer : buffers)
    if (buffer != nullptr) require_on_device(buffer);
  forget_graphs();
  buffers_ = buffers;
  for (std::size_t i = 0; i < instructions_.size(); ++i) {
    const Instruction& instruction = instructions_[i];
    for (std::size_t k = 0; k < instruction.operands.size(); ++k)
      tensors_[i][k].data = locate(instruction.operands[k], buffers);
    bound_[i].call.workspace = static_cast<std::byte*>(locate(instruction.workspace, buffers));
  }
  for (StageRun& run : runs_) run.make();
  share_out_guards();
}

void Executor::share_out_guards() {
  unchecked_ = guards_;
  if (runs_.size() != 1) return;
  // What has to be finite, and no more, and is left alone behind the run.
  const auto is_simple = [&](const Guard& guard) {
    if (!std::isinf(guard.limit)) return false;
    const Tensor value = tensor_of(guard.value, locate(guard.value, buffers_));
    for (int i = runs_[0].stretch().end; i < commit_; ++i)
      for (const Tensor& t : tensors_[static_cast<std::size_t>(i)])
        if (overlap(t, value)) return false;
    return true;
  };
  std::vector<Tensor> values;
  for (const Guard& guard : guards_)
    if (is_simple(guard)) values.push_back(tensor_of(guard.value, locate(guard.value, buffers_)));
  const std::vector<bool> checked =
      runs_[0].check(values, &static_cast<ControlState*>(control_.data())->halted);
  auto next = checked.begin();
  std::erase_if(unchecked_, [&](const Guard& guard) { return is_simple(guard) && *next++; });
}

void Executor::launch_guards() {
  Call call;
  call.stream = stream_;
  GuardList list;
  const auto launch = [&] {
    cuda::launch_guards(call, static_cast<ControlState*>(control_.data()), list);
    list = {};
  };
  for (const auto& [ref, limit] : unchecked_) {
    const Tensor value = tensor_of(ref, locate(ref, buffers_));
    list.values[list.count] = value.data;
    list.size[list.count] = value.size();
    list.limit[list.count] = limit;
    if (value.dtype == Dtype::float64) list.wide |= uint64_t{1} << list.count;
    if (++list.count == kMostGuards) launch();
  }
  if (list.count > 0) launch();
}

void Executor::launch_step() {
  auto* state = static_cast<ControlState*>(control_.data());
  Call call;
  call.stream = stream_;
  auto run = runs_.begin();
  for (int i = 0; i < size();) {
    if (i == commit_) launch_guards();
    if (run != runs_.end() && run->stretch().begin == i) {
      run->launch(call);
      i = run++->stretch().end;
      continue;
    }
    const Bound& bound = bound_[static_cast<std::size_t>(i++)];
    bound.run(bound.call);
  }
  ReadoutList list;
  for (const Readout& r : readouts_) {
    list.source[list.count] = static_cast<const double*>(locate(r.source, buffers_));
    list.width[list.count++] = r.width;
  }
  launch_end_step(call, state, list, static_cast<double*>(sums_.data()),
                  static_cast<const double*>(rates_.data()), batch_, commit_ < size());
}

cudaGraphExec_t Executor::captured(int steps) {
  cudaGraphExec_t& graph = steps == 1 ? one_ : several_;
  if (graph) return graph;
  // Relaxed: another thread may allocate meanwhile.
  require(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "capture a step");
  try {
    for (int k = 0; k < steps; ++k) launch_step();
    require(cudaGetLastError(), "launch the kernels of a step");
  } catch (...) {
    cudaGraph_t broken = nullptr;
    cudaStreamEndCapture(stream_, &broken);
    if (broken) cudaGraphDestroy(broken);
    cudaGetLastError();
    throw;
  }
  cudaGraph_t recorded = nullptr;
  require(cudaStreamEndCapture(stream_, &recorded), "capture a step");
  const cudaError_t status = cudaGraphInstantiate(&graph, recorded, 0);
  cudaGraphDestroy(recorded);
  require(status, "make a graph of a step");
  return graph;
}

void Executor::begin_run(const RunRequest& request) {
  std::vector<double> rates(static_cast<std::size_t>(request.steps), request.block.learning_rate);
  if (request.learning_rates)
    rates.assign(request.learning_rates, request.learning_rates + request.steps);
  copy_in(rates_.data(), rates.data(), request.steps * 8);
  ControlState state;
  state.block = request.block;
  state.block.learning_rate = rates[0];
  state.steps = request.steps;
  copy_in(control_.data(), &state, sizeof state);
  // Steps add to what is there, so that it does not matter where runs end.
  if (sums_.bytes() > 0) copy_in(sums_.data(), request.sums, sums_.bytes());
}

ControlState Executor::read_control() {
  stream_.synchronize();
  ControlState state;
  copy_out(&state, control_.data(), sizeof state);
  return state;
}

RunResult Executor::run(const RunRequest& whole) {
  RunRequest request = whole;
  if (request.steps > kMostRates) request.steps = kMostRates;  // who asked for more asks again
  RunResult result;
  result.block = request.block;
  if (request.steps <= 0) return result;
  begin_run(request);
  const double start = now();
  int64_t launched = 0, slice = 1;
  ControlState state;
  while (true) {
    const double before = now();
    for (const int64_t end = std::min(launched + slice, request.steps); launched < end;) {
      const int steps = end - launched >= kSeveral ? kSeveral : 1;
      require(cudaGraphLaunch(captured(steps), stream_), "start a step");
      launched += steps;
    }
    state = read_control();
    const double time = now();
    if (time - before < kSlice / 2 && slice < kMostRates) slice *= 2;
    if (time - before > kSlice * 2 && slice > 1) slice /= 2;
    if (state.halted) result.status = RunStatus::not_finite;
    if (state.halted || launched >= request.steps) break;
    if (request.poll && request.poll(request.poll_context)) {
      result.status = RunStatus::interrupted;
      break;
    }
    if (request.time_limit > 0 && time - start >= request.time_limit) {
      result.status = RunStatus::time_up;
      break;
    }
  }
  if (result.status == RunStatus::done && request.steps < whole.steps)
    result.status = RunStatus::time_up;
  result.steps = state.done;
  result.block = state.block;
  for (const Bound& bound : bound_) bound.count->fetch_add(state.done, std::memory_order_relaxed);
  if (sums_.bytes() > 0) copy_out(request.sums, sums_.data(), sums_.bytes());
  return result;
}

std::vector<double> Executor::profile(const StepBlock& block, int repeats) {
  std::vector<double> seconds;
  cudaEvent_t start = nullptr, stop = nullptr;
  require(cudaEventCreate(&start), "make an event");
  require(cudaEventCreate(&stop), "make an event");
  ControlState state;
  state.block = block;
  copy_in(control_.data(), &state, sizeof state);
  for (int r = 0; r < repeats; ++r) {
    for (const Bound& bound : bound_) {
      require(cudaEventRecord(start, stream_), "time a kernel");
      bound.run(bound.call);
      require(cudaGetLastError(), "launch a kernel");
      require(cudaEventRecord(stop, stream_), "time a kernel");
      require(cudaEventSynchronize(stop), "time a kernel");
      float milliseconds = 0;
      require(cudaEventElapsedTime(&milliseconds, start, stop), "time a kernel");
      seconds.push_back(milliseconds * 1e-3);
    }
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  return seconds;
}

}  // namespace convkit::cuda
