#include "exec/executor.h"

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "core/cpu_features.h"

namespace convkit {
namespace {

double now() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

constexpr int64_t kGuardChunk = 65536;  // numbers

bool all_within(const NumberRun& run) {
#if CK_ISA_COUNT == 3
  if (active_isa() == Isa::avx512) return avx512::all_within(run);
  if (active_isa() == Isa::avx2) return avx2::all_within(run);
#endif
  return baseline::all_within(run);
}

// What the run on this thread wants polled; null while a step may not be broken off.
struct Poll {
  const RunRequest* request = nullptr;
  DenormalsFlushed::Mode caller_mode{};
};
thread_local Poll t_poll;

// The pool has one poll function for all threads, so this one asks for the thread's own. It may run
// the user's Python signal handlers, which expect ordinary arithmetic.
bool poll_this_thread(void*) {
  const RunRequest* request = t_poll.request;
  if (!request || !request->poll) return false;
  const OutsideRun outside;
  return request->poll(request->poll_context);
}

// During a run the pool polls for signals; afterwards it forgets that it was cancelled.
class Polling {
 public:
  Polling(ThreadPool& pool, const RunRequest& request, DenormalsFlushed::Mode caller_mode)
      : pool_(pool), before_(t_poll) {
    pool_.clear_cancelled();
    pool_.set_poll(&poll_this_thread, nullptr);
    t_poll = {&request, caller_mode};
  }
  ~Polling() {
    t_poll = before_;
    pool_.clear_cancelled();
  }
  Polling(const Polling&) = delete;
  Polling& operator=(const Polling&) = delete;

 private:
  ThreadPool& pool_;
  Poll before_;
};

}  // namespace

OutsideRun::OutsideRun()
    : request_(t_poll.request), caller_mode_(t_poll.caller_mode), mode_(DenormalsFlushed::mode()) {
  DenormalsFlushed::set_mode(caller_mode_);
  t_poll = {};
}

OutsideRun::~OutsideRun() {
  t_poll = {request_, caller_mode_};
  DenormalsFlushed::set_mode(mode_);
}

std::atomic<int64_t>& run_count(const Kernel& kernel) {
  static std::mutex mutex;
  static std::map<const Kernel*, std::unique_ptr<std::atomic<int64_t>>> counts;
  const std::lock_guard lock(mutex);
  auto& count = counts[&kernel];
  if (!count) count = std::make_unique<std::atomic<int64_t>>(0);
  return *count;
}

Executor::Executor(std::vector<Instruction> instructions, std::vector<Readout> readouts,
                   std::vector<Guard> guards, int commit, int64_t batch)
    : instructions_(std::move(instructions)),
      readouts_(std::move(readouts)),
      commit_(commit),
      batch_(batch),
      readout_data_(readouts_.size()) {
  for (const Instruction& instruction : instructions_) {
    std::vector<Tensor>& tensors = tensors_.emplace_back();
    for (const OperandRef& ref : instruction.operands) tensors.push_back(tensor_of(ref, nullptr));
    Call call;
    call.operands = tensors.data();
    call.count = static_cast<int>(tensors.size());
    call.params = instruction.params.data();
    call.step = &block_;
    call.pool = &ThreadPool::instance();
    bound_.push_back({nullptr, call, &run_count(*instruction.kernel), instruction.seconds});
  }
  for (const auto& [value, limit] : guards) {
    const Tensor whole = tensor_of(value, nullptr);
    const int64_t size = kDtypeBytes[static_cast<int>(value.dtype)];
    const Chunks chunks{whole.size(), kGuardChunk};
    for (int64_t i = 0; i < chunks.count(); ++i) {
      const int64_t begin = chunks.begin(i);
      guards_.push_back({value.buffer, value.offset + begin * size, value.dtype, {}});
      guard_runs_.push_back({nullptr, chunks.end(i) - begin, value.dtype, limit});
    }
    guard_seconds_ += static_cast<double>(whole.size() * size) / kThreadBytes;
  }
}

void Executor::bind(const std::vector<void*>& buffers) {
  const auto isa = static_cast<std::size_t>(active_isa());
  for (std::size_t i = 0; i < instructions_.size(); ++i) {
    const Instruction& instruction = instructions_[i];
    for (std::size_t k = 0; k < instruction.operands.size(); ++k)
      tensors_[i][k].data = locate(instruction.operands[k], buffers);
    bound_[i].call.workspace = static_cast<std::byte*>(locate(instruction.workspace, buffers));
    bound_[i].run = instruction.kernel->run[isa];
  }
  for (std::size_t i = 0; i < readouts_.size(); ++i)
    readout_data_[i] = static_cast<const double*>(locate(readouts_[i].source, buffers));
  for (std::size_t i = 0; i < guards_.size(); ++i)
    guard_runs_[i].data = locate(guards_[i], buffers);
}

void Executor::run_one(const Bound& bound) {
  const ExpectedWork expected(bound.seconds);
  bound.run(bound.call);
}

bool Executor::guards_hold() const {
  const ExpectedWork expected(guard_seconds_);
  std::atomic<bool> hold = true;
  ThreadPool::instance().parallel_for(static_cast<int64_t>(guard_runs_.size()),
                                      [&](int64_t i, int) {
                                        if (!all_within(guard_runs_[static_cast<std::size_t>(i)]))
                                          hold.store(false, std::memory_order_relaxed);
                                      });
  return hold;
}

bool Executor::step(const StepBlock& block, const RunRequest& request, bool* finite) {
  ThreadPool& pool = ThreadPool::instance();
  block_ = block;
  for (int i = 0; i < size(); ++i) {
    if (i == commit_) {
      *finite = guards_hold();
      if (!*finite || pool.cancelled()) return false;
      t_poll.request = nullptr;
    }
    const Bound& bound = bound_[static_cast<std::size_t>(i)];
    run_one(bound);
    bound.count->fetch_add(1, std::memory_order_relaxed);
    if (pool.cancelled()) return false;
  }
  t_poll.request = &request;
  return true;
}

RunResult Executor::run(const RunRequest& request) {
  const DenormalsFlushed flushed;
  ThreadPool& pool = ThreadPool::instance();
  const Polling polling(pool, request, flushed.saved());
  RunResult result;
  result.block = request.block;
  const double start = now();
  double polled = start;
  const bool trains = commit_ < size();
  while (result.steps < request.steps) {
    const double time = now();
    if (request.time_limit > 0 && result.steps > 0 && time - start >= request.time_limit) {
      result.status = RunStatus::time_up;
      return result;
    }
    // Steps that never enter a parallel loop would not be polled by the pool.
    if (request.poll && time - polled > 0.02) {
      polled = time;
      if (poll_this_thread(nullptr)) {
        result.status = RunStatus::interrupted;
        return result;
      }
    }
    if (request.learning_rates) result.block.learning_rate = request.learning_rates[result.steps];
    bool finite = true;
    if (!step(result.block, request, &finite)) {
      result.status = finite ? RunStatus::interrupted : RunStatus::not_finite;
      return result;
    }
    double* sum = request.sums;
    for (std::size_t r = 0; r < readouts_.size(); ++r)
      for (int64_t i = 0; i < readouts_[r].width; ++i) *sum++ += readout_data_[r][i];
    result.block.sample += batch_;
    if (trains) ++result.block.step;
    ++result.steps;
  }
  return result;
}

std::vector<double> Executor::profile(const StepBlock& block, int repeats) {
  const DenormalsFlushed flushed;
  ThreadPool& pool = ThreadPool::instance();
  const RunRequest nothing_polled;
  const Polling polling(pool, nothing_polled, flushed.saved());
  std::vector<double> seconds;
  block_ = block;
  for (int r = 0; r < repeats; ++r) {
    for (const Bound& bound : bound_) {
      const double start = now();
      run_one(bound);
      seconds.push_back(now() - start);
      if (pool.cancelled()) return seconds;
    }
    if (commit_ < size()) ++block_.step;
  }
  return seconds;
}

}  // namespace convkit
