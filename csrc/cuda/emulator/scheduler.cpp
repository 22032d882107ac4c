// Compiled without -fsanitize=thread: what the scheduler touches orders and races with nothing.
#include "cuda/emulator/scheduler.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>

#include "cuda/emulator/device.h"
#include "cuda/emulator/emulator.h"
#include "cuda/emulator/fiber.h"

#if CK_EMULATOR_TSAN
extern "C" void __tsan_read_range(void* address, unsigned long bytes);
extern "C" void __tsan_write_range(void* address, unsigned long bytes);
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
#else
static void AnnotateIgnoreWritesBegin(const char*, int) {}
static void AnnotateIgnoreWritesEnd(const char*, int) {}
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace convkit::emulator {
namespace {

constexpr int kMostThreads = 1024;
// libtsan has 8128 ids, and drops reports whose other thread's id was given away again.
constexpr uint64_t kMostTsanThreads = 7000;
constexpr int kMostSpins = 20'000'000;
constexpr std::size_t kCanaryBytes = CK_EMULATOR_ASAN ? 0 : 64;  // ASan has red zones
constexpr unsigned char kCanary = 0xC5;
constexpr unsigned char kPoison = 0xFF;  // NaN in every floating type, -1 in the others

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

std::string place(const Site& site) {
  const std::string path = site.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(site.line());
}

std::string words(dim3 d) {
  std::string text = "(";  // "(" + text + ... has GCC 12 warn of nothing
  text += std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z);
  return text + ")";
}

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::strcmp(a.file_name(), b.file_name()) == 0;
}

class Scheduler {
 public:
  void run(const Launch& launch);
  void seed(uint64_t value) { random_ = value * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du; }

  // Ends the launch; text(), which says why, is called on the stack of who launched: this one is
  // left for good, and what it owns would leak.
  template <class F>
  [[noreturn]] void fail(const F& text) {
    failure_ = [](const void* f) { return std::string((*static_cast<const F*>(f))()); };
    failure_text_ = &text;
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
  void give_up_fibers();
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

Scheduler& scheduler() {
  static Scheduler instance;
  return instance;
}

// ---- errors

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

// ---- barriers

void* Scheduler::new_order() {
  if (!CK_EMULATOR_TSAN) return nullptr;
  constexpr std::size_t kChunk = 4096;
  if (used_orders_ % kChunk == 0) orders_.push_back(std::make_unique<uint64_t[]>(kChunk));
  return &orders_.back()[used_orders_++ % kChunk];
}

int Scheduler::barrier(const char* what, bool predicate, const Site& site) {
  Barrier& b = barrier_;
  if (b.arrived == 0) {
    b = Barrier{.site = site, .order = new_order()};
  } else if (!same(b.site, site)) {
    b.differs = true;
  }
  void* const order = b.order;
  tsan_release(order);
  b.predicates += predicate;
  if (++b.arrived < count_) {
    wait(what, site);
  } else {
    if (b.differs) {
      states_[current_] = State::waits;
      self().waits_at = what;
      self().site = site;
      fail([this] { return "threads are at different barriers: " + whereabouts(); });
    }
    barrier_result_ = b.predicates;
    b.arrived = 0;
    spins_ = 0;
    for (int i = 0; i < count_; ++i)
      if (i != current_) make_ready(i);
  }
  tsan_acquire(order);
  return barrier_result_;
}

void Scheduler::meet(const char* what, unsigned mask, const Site& site, WarpFunction function,
                     const void* in, void* out) {
  const int lane = current_ % 32, first = current_ - lane;
  const unsigned bit = 1u << lane;
  if ((mask & bit) == 0)
    fail([&] {
      return std::string(what) + ", " + place(site) + ": lane " + std::to_string(lane) +
             " is not in its own mask";
    });
  const int lanes = std::min(32, count_ - first);
  Warp& warp = warps_[first / 32];
  Meeting* m = std::find_if(warp.meetings, warp.meetings + warp.count, [&](const Meeting& other) {
    return other.lanes.mask == mask && same(other.lanes.site, site);
  });
  if (m == warp.meetings + warp.count) {
    ++warp.count;
    m->lanes.mask = mask;
    m->lanes.site = site;
    m->lanes.present = mask & (lanes == 32 ? ~0u : (1u << lanes) - 1);
    m->arrived = 0;
    m->order = new_order();
  }
  void* const order = m->order;
  const bool orders_memory = function == nullptr;
  if (orders_memory) tsan_release(order);
  m->arrived |= bit;
  m->lanes.in[lane] = in;
  m->lanes.out[lane] = out;
  if (m->arrived != m->lanes.present) {
    wait(what, site);
  } else {
    if (function != nullptr) function(m->lanes);
    for (unsigned others = m->arrived & ~bit; others != 0; others &= others - 1)
      make_ready(first + std::countr_zero(others));
    if (m != &warp.meetings[--warp.count]) *m = warp.meetings[warp.count];
    spins_ = 0;
  }
  if (orders_memory) tsan_acquire(order);
}

// ---- shared memory

unsigned char* Scheduler::allocate_shared(const char* name, std::size_t bytes,
                                          std::size_t alignment) {
  void* data = nullptr;
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);  // it's no thread of the block that fills it
  if (posix_memalign(&data, alignment, bytes + kCanaryBytes) != 0) throw std::bad_alloc();
  auto* p = static_cast<unsigned char*>(data);
  std::memset(p, kPoison, bytes);
  std::memset(p + bytes, kCanary, kCanaryBytes);
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  shared_.push_back({p, bytes, name});
  return p;
}

void Scheduler::release_shared() {
  for (const SharedMemory& m : shared_) {
    if (std::any_of(m.data + m.bytes, m.data + m.bytes + kCanaryBytes,
                    [](unsigned char c) { return c != kCanary; }) &&
        error_.empty())
      error_ = described("a write behind the end of shared array " + std::string(m.name) + " (" +
                         std::to_string(m.bytes) + " bytes)");
    if (CK_EMULATOR_TSAN)
      old_shared_.push_back(m.data);
    else
      std::free(m.data);
  }
  shared_.clear();
}

void* Scheduler::shared(SharedArray& array) {
  if (array.block == serial_) return array.data;
  static_bytes_ += (array.bytes + 15) / 16 * 16;
  const Limits limits = architecture_limits();
  const std::size_t total = static_bytes_ + launch_->dynamic_shared;
  if (static_bytes_ > limits.static_shared)
    fail([&] {
      return "static shared memory, with array " + std::string(array.name) + ", is " +
             std::to_string(static_bytes_) + " bytes, and at most " +
             std::to_string(limits.static_shared) + " are allowed: use CK_DYN_SHARED";
    });
  if (total > limits.shared)
    fail([&] {
      return "static and dynamic shared memory is " + std::to_string(total) + " bytes, and " +
             architecture_name() + " has " + std::to_string(limits.shared);
    });
  array.data = allocate_shared(array.name, array.bytes, 16);
  array.block = serial_;
  return array.data;
}

void* Scheduler::dynamic_shared() {
  if (dynamic_ == nullptr)
    fail([] { return "CK_DYN_SHARED, but the launch gives no dynamic shared memory"; });
  return dynamic_;
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
  if (CK_EMULATOR_TSAN) {
    fibers_.clear();  // a stack that is used again would look like a race
  } else if (!error_.empty()) {
    give_up_fibers();
  }
  release_shared();
}

void Scheduler::give_up_fibers() {
  free_fibers_.clear();
  for (const auto& fiber : fibers_) free_fibers_.push_back(fiber.get());
  for (int i = 0; i < count_; ++i) threads_[i].copies.clear();
  for (Warp& warp : warps_) warp.count = 0;
}

void Scheduler::run(const Launch& launch) {
  launch_ = &launch;
  count_ = launch.threads;
  error_.clear();
  blockDim = dim3(static_cast<unsigned>(count_));
  gridDim = launch.grid;
  const dim3 g = launch.grid;
  const uint64_t blocks = uint64_t{g.x} * g.y * g.z;
  if (CK_EMULATOR_TSAN && blocks * static_cast<uint64_t>(count_) > kMostTsanThreads)
    throw Error("kernel " + kernel_name(launch.kernel) + ": " + std::to_string(blocks * count_) +
                " threads are too many for the race check, which takes " +
                std::to_string(kMostTsanThreads));
  std::vector<uint32_t> order(blocks);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = blocks; i > 1; --i)
    std::swap(order[i - 1], order[below(static_cast<uint32_t>(i))]);
  main_.tsan = tsan_current();
  std::size_t most_static = 0;
  for (const uint32_t b : order) {
    run_block({b % g.x, b / g.x % g.y, b / g.x / g.y});
    most_static = std::max(most_static, static_bytes_);
    if (!error_.empty()) break;
  }
  tsan_acquire(&end_order_);
  for (void* p : old_shared_) std::free(p);
  old_shared_.clear();
  for (void* thread : tsan_threads_) tsan_destroy(thread);
  tsan_threads_.clear();
  orders_.clear();
  used_orders_ = 0;
  count_launch({launch.kernel, g, count_, most_static, launch.dynamic_shared});
  if (!error_.empty()) throw Error(error_);
}

}  // namespace

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

void* shared(SharedArray& array) { return scheduler().shared(array); }
void* dynamic_shared() { return scheduler().dynamic_shared(); }
void block_barrier(const char* what, const Site& site) { scheduler().barrier(what, false, site); }
int block_barrier_count(const char* what, bool predicate, const Site& site) {
  return scheduler().barrier(what, predicate, site);
}
void warp_meet(const char* what, unsigned mask, const Site& site, WarpFunction function,
               const void* in, void* out) {
  scheduler().meet(what, mask, site, function, in, out);
}
void warp_barrier(unsigned mask, const Site& site) {
  scheduler().meet("__syncwarp", mask, site, nullptr, nullptr, nullptr);
}
int lane() { return scheduler().current() % 32; }
void spin() { scheduler().spin(); }

// ThreadSanitizer's model of a fence is coarse: after one, each atomic releases, and a fence
// acquires what the last atomic saw. It finds a fence that is missing, not one in the wrong place.
void fence() {
  Thread& t = scheduler().self();
  t.fenced = true;
  if (t.last_atomic != nullptr) tsan_acquire(t.last_atomic);
}
void before_atomic(void* address) {
  if (scheduler().self().fenced) tsan_release(address);
}
void after_atomic(void* address) {
  Thread& t = scheduler().self();
  t.last_atomic = address;
  if (t.fenced) tsan_release(address);
}

void note_read([[maybe_unused]] const void* address, [[maybe_unused]] int bytes) {
#if CK_EMULATOR_TSAN
  __tsan_read_range(const_cast<void*>(address), static_cast<unsigned long>(bytes));
#endif
}
void note_write([[maybe_unused]] void* address, [[maybe_unused]] int bytes) {
#if CK_EMULATOR_TSAN
  __tsan_write_range(address, static_cast<unsigned long>(bytes));
#endif
}

void copy_async(void* shared, const void* global, int bytes, bool valid, const Site& site) {
  const auto low_bits = reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global);
  if (low_bits % static_cast<unsigned>(bytes) != 0)
    fail("cp.async: an address is not a multiple of the copy's size", site);
  if (valid) {
    note_read(global, bytes);
    // Read here, so that an address out of bounds is reported here.
    const auto* source = static_cast<const volatile unsigned char*>(global);
    static_cast<void>(source[0]);
    static_cast<void>(source[bytes - 1]);
  }
  note_write(shared, bytes);
  std::memset(shared, kPoison, static_cast<std::size_t>(bytes));
  Thread& t = scheduler().self();
  t.copies.push_back({shared, global, bytes, t.copy_group, valid});
}

void commit_copies() { ++scheduler().self().copy_group; }

void wait_for_copies(int groups_left) {
  Thread& t = scheduler().self();
  std::erase_if(t.copies, [&](const Copy& c) {
    if (c.group >= t.copy_group - groups_left) return false;
    note_write(c.shared, c.bytes);
    if (c.valid)
      std::memcpy(c.shared, c.global, static_cast<std::size_t>(c.bytes));
    else
      std::memset(c.shared, 0, static_cast<std::size_t>(c.bytes));
    return true;
  });
}

}  // namespace convkit::emulator
