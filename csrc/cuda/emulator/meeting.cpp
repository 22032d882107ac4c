// Where threads of a block wait for each other, and what orders memory between them.
#include <algorithm>
#include <bit>
#include <cstring>

#include "cuda/emulator/block.h"

#if CK_EMULATOR_TSAN
extern "C" void __tsan_read_range(void* address, unsigned long bytes);
extern "C" void __tsan_write_range(void* address, unsigned long bytes);
#endif

namespace convkit::emulator {

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

// ---- barriers

void* Scheduler::new_order() {
  if (!CK_EMULATOR_TSAN) return nullptr;
  const TsanUnseen unseen;
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

namespace {

struct Arrivals {
  uint16_t count, pending;
  uint32_t phase;
};

Arrivals arrivals_of(const uint64_t* barrier, const Site& site) {
  const auto state = std::bit_cast<Arrivals>(*barrier);
  if (state.count == 0xFFFF) fail("an mbarrier that was not initialised", site);
  return state;
}

}  // namespace

void mbarrier_init(uint64_t* barrier, int arrivals) {
  const auto count = static_cast<uint16_t>(arrivals);
  *barrier = std::bit_cast<uint64_t>(Arrivals{count, count, 0});
}

void mbarrier_arrive(uint64_t* barrier, const Site& site) {
  Arrivals state = arrivals_of(barrier, site);
  tsan_release(barrier);
  if (--state.pending == 0) {
    state.pending = state.count;
    ++state.phase;
  }
  *barrier = std::bit_cast<uint64_t>(state);
}

bool mbarrier_passed(uint64_t* barrier, unsigned parity, const Site& site) {
  if (arrivals_of(barrier, site).phase % 2 == parity) return false;
  tsan_acquire(barrier);
  return true;
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
  const TsanUnseen unseen;
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
