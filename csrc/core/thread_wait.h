// How threads of the pool wait for each other, and what CPUs they are on. For the pool only.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/isa.h"

namespace convkit {

CK_INLINE void cpu_relax() {
#if CK_X86_64
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

inline void sleep_while(std::atomic<uint32_t>& word, uint32_t value) {
#ifdef __linux__
  static_assert(sizeof(word) == 4);
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr,
          nullptr, 0);  // may return early: callers loop
#else
  word.wait(value);
#endif
}

inline void wake(std::atomic<uint32_t>& word) {
#ifdef __linux__
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr,
          0);
#else
  word.notify_one();
#endif
}

// The CPU that this thread is on, -1 where nobody knows.
inline int current_cpu() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

// Moves this thread off a CPU, on to any other that it may use; its affinity is as before then. A
// thread that wakes is often put where the one that woke it runs, and the system may take tens of
// milliseconds to separate the two, in which they run one after the other.
inline void leave_cpu(int cpu) {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<size_t>(cpu), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) != 0) return;
  sched_setaffinity(0, sizeof(allowed), &allowed);
#else
  static_cast<void>(cpu);
#endif
}

// Spins while the word has this value, for at most that long; returns the last value seen. Gives up
// at once on the CPU `other`, where the thread that is to change the word was last: on a busy
// machine it may be waiting for the very CPU that spins here.
inline uint32_t spin_while(const std::atomic<uint32_t>& word, uint32_t value, int microseconds,
                           const std::atomic<int>& other) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::microseconds(microseconds);
  for (;;) {
    const int cpu = current_cpu();
    const bool in_the_way = cpu >= 0 && cpu == other.load(std::memory_order_relaxed);
    for (int i = 0; i < 32 && !in_the_way; ++i) {
      const uint32_t now = word.load(std::memory_order_acquire);
      if (now != value) return now;
      cpu_relax();
    }
    if (in_the_way || Clock::now() >= end) return word.load(std::memory_order_acquire);
  }
}

}  // namespace convkit
