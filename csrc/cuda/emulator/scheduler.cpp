#include "cuda/emulator/scheduler.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <numeric>

#include "cuda/emulator/block.h"
#include "cuda/emulator/device.h"
#include "cuda/emulator/emulator.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace convkit::emulator {
namespace {

// libtsan has 8128 ids, and drops reports whose other thread's id was given away again. In a launch
// of more threads blocks are checked against some others only, which another seed draws anew.
constexpr std::size_t kMostTsanThreads = 7000;
constexpr int kMostSpins = 20'000'000;

std::string words(dim3 d) {
  std::string text = "(";  // "(" + text + ... has GCC 12 warn of nothing
  text += std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z);
  return text + ")";
}

}  // namespace

Scheduler::Scheduler() {
  if (const char* value = std::getenv("CONVKIT_EMULATOR_SEED"))
    seed(std::strtoull(value, nullptr, 10));
}

Scheduler& scheduler() {
  static Scheduler instance;
  return instance;
}

// ---- errors

std::string place(const Site& site) {
  const std::string path = site.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(site.line());
}

std::string Scheduler::whereabouts() const {
  std::map<std::string, int> counts;
  for (int i = 0; i < count_; ++i) {
    const Thread& t = threads_[i];
    if (states_[i] == State::returned)
      ++counts["returned"];
    else if (states_[i] == State::waits)
      ++counts["wait at " + std::string(t.waits_at) + ", " + place(t.site)];
    else
      ++counts["could run"];
  }
  std::string text;
  for (const auto& [what, n] : counts)
    text += (text.empty() ? "" : "; ") + std::to_string(n) + " of " + std::to_string(count_) +
            " threads " + what;
  return text;
}

std::string Scheduler::described(const std::string& text) const {
  return "kernel " + kernel_name(launch_->kernel) + ", block " +
         words({blockIdx.x, blockIdx.y, blockIdx.z}) + " of " + words(launch_->grid) + ": " + text;
}

// ---- threads

void Scheduler::make_ready(int thread) {
  states_[thread] = State::ready;
  ready_.push_back(static_cast<uint16_t>(thread));
}

// One of the threads that can run; -1 if none can.
int Scheduler::draw() {
  if (ready_.empty()) return -1;
  uint16_t& place = ready_[below(static_cast<uint32_t>(ready_.size()))];
  const int thread = place;
  place = ready_.back();
  ready_.pop_back();
  return thread;
}

void Scheduler::begin(int thread) {
  Thread& t = threads_[thread];
  t.last_atomic = nullptr;
  t.fenced = false;
  t.copy_group = 0;
}

Fiber* Scheduler::fresh_fiber() {
  if (free_fibers_.empty()) {
    const TsanUnseen unseen;
    fibers_.push_back(std::make_unique<Fiber>(&Scheduler::fiber_main));
    return fibers_.back().get();
  }
  Fiber* fiber = free_fibers_.back();
  free_fibers_.pop_back();
  fiber->restart(&Scheduler::fiber_main);
  return fiber;
}

void Scheduler::enter(int thread, Fiber& from, bool ends) {
  current_ = thread;
  threadIdx = {static_cast<unsigned>(thread), 0, 0};
  Thread& t = threads_[thread];
  if (t.fiber == nullptr) {
    begin(thread);
    t.fiber = fresh_fiber();
    t.fiber->tsan = CK_EMULATOR_TSAN ? tsan_threads_[tsan_threads_.size() - 1 - thread] : nullptr;
  }
  Fiber::switch_to(from, *t.fiber, ends);
}

// What every fiber runs: threads that have not begun, one after another, until one of those that
// wait is drawn. So a thread that never waits costs no switch.
void Scheduler::fiber_main() {
  Scheduler& s = scheduler();
  for (;;) {
    Fiber& mine = *s.self().fiber;
    s.launch_->body(s.launch_->arguments());
    s.end_thread();
    const int next = s.draw();
    if (next >= 0 && s.threads_[next].fiber == nullptr && !CK_EMULATOR_TSAN) {
      s.current_ = next;
      threadIdx.x = static_cast<unsigned>(next);
      s.begin(next);
      s.self().fiber = &mine;
      continue;
    }
    if (next < 0 && s.returned_ < s.count_) s.fail([&] { return s.stuck(); });
    if (!CK_EMULATOR_TSAN) s.free_fibers_.push_back(&mine);
    if (next < 0)
      Fiber::switch_to(mine, s.main_, true);
    else
      s.enter(next, mine, true);
  }
}

void Scheduler::end_thread() {
  if (!self().copies.empty())
    fail([] { return "a thread returned before its cp.async copies were waited for"; });
  states_[current_] = State::returned;
  ++returned_;
  spins_ = 0;
  tsan_release(&end_order_);
}

void Scheduler::wait(const char* what, const Site& site) {
  const int thread = current_;
  Thread& t = threads_[thread];
  states_[thread] = State::waits;
  t.waits_at = what;
  t.site = site;
  tsan_release(&end_order_);  // should this wait be its last
  const int next = draw();
  if (next < 0) fail([this] { return stuck(); });
  enter(next, *t.fiber, false);
}

void Scheduler::spin() {
  if (++spins_ > kMostSpins)
    fail([] {
      return "threads spin for ever; blocks run one after another, so none may wait for another";
    });
  const int thread = current_;
  make_ready(thread);
  const int next = draw();
  if (next != thread) enter(next, *threads_[thread].fiber, false);
}

// ---- the launch

void Scheduler::run_block(dim3 index) {
  ++serial_;
  blockIdx = {index.x, index.y, index.z};
  returned_ = spins_ = 0;
  static_bytes_ = 0;
  barrier_.arrived = 0;
  dynamic_ = launch_->dynamic_shared == 0
                 ? nullptr
                 : allocate_shared("of the launch", launch_->dynamic_shared, 128);
  ready_.resize(count_);
  std::iota(ready_.begin(), ready_.end(), uint16_t{0});
  std::fill_n(states_.begin(), count_, State::ready);
  for (int i = 0; i < count_; ++i) threads_[i].fiber = nullptr;
  if (CK_EMULATOR_TSAN) {
    // Ids are given away again in the order in which they came back: drawn, or a thread of every
    // block would have the same one.
    const std::size_t first = tsan_threads_.size();
    for (int i = 0; i < count_; ++i) tsan_threads_.push_back(tsan_create());
    for (int i = count_ - 1; i > 0; --i)
      std::swap(tsan_threads_[first + i], tsan_threads_[first + below(i + 1)]);
  }
  enter(draw(), main_, false);
  if (failure_ != nullptr) error_ = described(failure_(failure_text_));
  failure_ = nullptr;
  if (CK_EMULATOR_TSAN) fibers_.clear();  // a stack that is used again would look like a race
  if (!error_.empty()) give_up_threads();
  release_shared();
}

// Threads that wait for what never comes.
void Scheduler::give_up_threads() {
  free_fibers_.clear();
  for (const auto& fiber : fibers_) free_fibers_.push_back(fiber.get());
  for (int i = 0; i < count_; ++i) threads_[i].copies.clear();
  for (Warp& warp : warps_) warp.count = 0;
}

// What ran so far is ordered before what comes.
void Scheduler::end_race_check() {
  tsan_acquire(&end_order_);
  for (void* p : old_shared_) std::free(p);
  old_shared_.clear();
  for (void* thread : tsan_threads_) tsan_destroy(thread);
  tsan_threads_.clear();
  orders_.clear();
  used_orders_ = 0;
}

void Scheduler::run(const Launch& launch) {
  launch_ = &launch;
  count_ = launch.threads;
  error_.clear();
  blockDim = dim3(static_cast<unsigned>(count_));
  gridDim = launch.grid;
  const dim3 g = launch.grid;
  const uint64_t blocks = uint64_t{g.x} * g.y * g.z;
  std::vector<uint32_t> order(blocks);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = blocks; i > 1; --i)
    std::swap(order[i - 1], order[below(static_cast<uint32_t>(i))]);
  main_.tsan = tsan_current();
  std::size_t most_static = 0;
  for (const uint32_t b : order) {
    if (tsan_threads_.size() + static_cast<std::size_t>(count_) > kMostTsanThreads)
      end_race_check();
    run_block({b % g.x, b / g.x % g.y, b / g.x / g.y});
    most_static = std::max(most_static, static_bytes_);
    if (!error_.empty()) break;
  }
  end_race_check();
  count_launch({launch.kernel, g, count_, most_static, launch.dynamic_shared});
  if (!error_.empty()) throw Error(error_);
}

void run(const Launch& launch) {
  if (launch.halted != nullptr && *launch.halted != 0) return;
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  scheduler().run(launch);
}

void seed(uint64_t value) { scheduler().seed(value); }

void fail(const char* what, const Site& site) {
  scheduler().fail([&] { return std::string(what) + ", " + place(site); });
}

}  // namespace convkit::emulator
