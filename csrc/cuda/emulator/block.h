// The scheduler itself; what it does is told in scheduler.h. All of its sources are compiled
// without -fsanitize=thread: what they touch orders nothing and races with nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cuda/emulator/emulator.h"
#include "cuda/emulator/fiber.h"
#include "cuda/emulator/scheduler.h"

namespace convkit::emulator {

constexpr int kMostThreads = 1024;

enum class State : uint8_t { ready, waits, returned };

struct Copy {
  void* shared;
  const void* global;
  int bytes, group;
  bool valid;
};

struct Thread {
  Fiber* fiber = nullptr;  // null: has not begun
  const char* waits_at = nullptr;
  Site site;
  void* last_atomic = nullptr;
  bool fenced = false;
  int copy_group = 0;
  std::vector<Copy> copies;
};

// Lanes that wait for each other.
struct Meeting {
  Lanes lanes;
  unsigned arrived = 0;
  void* order = nullptr;
};

struct Warp {
  int count = 0;
  Meeting meetings[32];
};

struct SharedMemory {
  unsigned char* data;
  std::size_t bytes;
  const char* name;
};

struct Barrier {
  int arrived = 0;
  int predicates = 0;
  bool differs = false;  // threads are at different sites
  Site site;
  void* order = nullptr;
};

std::string place(const Site& site);  // "pool2d_cuda.cu:45"
bool same(const Site& a, const Site& b);

class Scheduler {
 public:
  Scheduler();
  void run(const Launch& launch);
  void seed(uint64_t value) { random_ = value * 0x9E3779B97F4A7C15u | 1; }

  // Ends the launch; text(), which says why, is called on the stack of who launched: this one is
  // left for good, and what it owns would leak.
  template <class F>
  [[noreturn]] void fail(const F& text) {
    failure_ = [](const void* f) { return std::string((*static_cast<const F*>(f))()); };
    failure_text_ = &text;
    tsan_release(&end_order_);
    Fiber::switch_to(*self().fiber, main_);
    __builtin_unreachable();
  }
  void* shared(SharedArray& array);
  void* dynamic_shared();
  int barrier(const char* what, bool predicate, const Site& site);
  void meet(const char* what, unsigned mask, const Site& site, WarpFunction function,
            const void* in, void* out);
  void spin();

  Thread& self() { return threads_[current_]; }
  int current() const { return current_; }

 private:
  static void fiber_main();
  void run_block(dim3 index);
  void begin(int thread);
  void end_thread();
  int draw();
  void make_ready(int thread);
  void wait(const char* what, const Site& site);
  void enter(int thread, Fiber& from, bool ends);
  Fiber* fresh_fiber();
  void give_up_threads();
  void end_race_check();
  unsigned char* allocate_shared(const char* name, std::size_t bytes, std::size_t alignment);
  void release_shared();
  void* new_order();
  std::string whereabouts() const;
  std::string stuck() const { return "the block can't go on: " + whereabouts(); }
  std::string described(const std::string& text) const;
  uint32_t below(uint32_t n) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<uint32_t>((random_ >> 32) * n >> 32);
  }

  const Launch* launch_ = nullptr;
  uint64_t random_ = 0x2545F4914F6CDD1Du;
  uint64_t serial_ = 0;  // of the block
  std::string error_;
  std::string (*failure_)(const void*) = nullptr;
  const void* failure_text_ = nullptr;

  int count_ = 0, current_ = 0, returned_ = 0, spins_ = 0;
  std::vector<Thread> threads_ = std::vector<Thread>(kMostThreads);
  std::vector<State> states_ = std::vector<State>(kMostThreads);
  std::vector<uint16_t> ready_;
  std::vector<Warp> warps_ = std::vector<Warp>(kMostThreads / 32);
  Barrier barrier_;
  int barrier_result_ = 0;

  std::size_t static_bytes_ = 0;
  unsigned char* dynamic_ = nullptr;
  std::vector<SharedMemory> shared_;
  std::vector<void*> old_shared_;  // ThreadSanitizer: addresses are not used twice in a launch

  Fiber main_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_fibers_;
  std::vector<void*> tsan_threads_;
  std::vector<std::unique_ptr<uint64_t[]>> orders_;
  std::size_t used_orders_ = 0;
  uint64_t end_order_ = 0;
};

Scheduler& scheduler();

}  // namespace convkit::emulator
