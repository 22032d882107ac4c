// Stacks of their own for the threads of an emulated block, and the switch between them.
#pragma once

#include <cstddef>
#include <cstring>

#include "cuda/emulator/emulator.h"

#if !defined(__x86_64__) || defined(CK_EMULATOR_UCONTEXT)
#define CK_EMULATOR_USES_UCONTEXT 1
#include <ucontext.h>
#else
#define CK_EMULATOR_USES_UCONTEXT 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CK_EMULATOR_ASAN 1
#else
#define CK_EMULATOR_ASAN 0
#endif

// The emulator itself is compiled without -fsanitize=thread, so this has to be said.
#ifndef CK_EMULATOR_TSAN
#define CK_EMULATOR_TSAN 0
#endif

namespace convkit::emulator {

// AddressSanitizer has red zones of its own, behind the exact size.
constexpr std::size_t kCanaryRoom = CK_EMULATOR_ASAN ? 0 : kCanaryBytes;
inline bool overrun(const unsigned char* canary) {
  if (kCanaryRoom == 0) return false;
  // All bytes are the first one, if each is the one before it.
  return canary[0] != kCanary || std::memcmp(canary, canary + 1, kCanaryRoom - 1) != 0;
}

class Fiber {
 public:
  // The calling thread's own stack.
  Fiber() = default;
  // A stack that runs `entry`, which never returns, from the next switch on.
  explicit Fiber(void (*entry)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Begins anew; what the stack held is forgotten.
  void restart(void (*entry)());

  // Leaves `from`, which runs now, for `to`; the call returns when something switches back. Where
  // it `ends`, nothing will until it is restarted.
  static void switch_to(Fiber& from, Fiber& to, bool ends = false);

  // What ThreadSanitizer takes for a thread; set by who makes one.
  void* tsan = nullptr;

 private:
  static void first_steps();
  static void landed();

  void (*entry_)() = nullptr;
  std::byte* memory_ = nullptr;
  const void* bottom_ = nullptr;  // of the usable stack, for AddressSanitizer
  std::size_t size_ = 0;
  void* fake_stack_ = nullptr;
#if CK_EMULATOR_USES_UCONTEXT
  ucontext_t context_ = {};
#else
  void* stack_pointer_ = nullptr;
#endif
};

// ThreadSanitizer sees each CUDA thread as a thread, and is told what orders them. No-ops
// elsewhere.
void* tsan_current();
void* tsan_create();
void tsan_destroy(void* thread);
void tsan_acquire(void* object);
void tsan_release(void* object);

// While it lives, what the calling CUDA thread reads and writes is not seen: memory that the
// scheduler allocates on behalf of all of them.
class TsanUnseen {
 public:
  TsanUnseen();
  ~TsanUnseen();
  TsanUnseen(const TsanUnseen&) = delete;
  TsanUnseen& operator=(const TsanUnseen&) = delete;
};

}  // namespace convkit::emulator
