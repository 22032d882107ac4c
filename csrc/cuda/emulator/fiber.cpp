#include "cuda/emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if CK_EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if CK_EMULATOR_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace convkit::emulator {
namespace {

constexpr std::size_t kPage = 4096;
// Red zones make frames larger.
constexpr std::size_t kStackBytes = (CK_EMULATOR_ASAN ? 256 : 64) * 1024;

Fiber* leaving = nullptr;   // the fiber that the last switch left
Fiber* arriving = nullptr;  // and where it went

#if !CK_EMULATOR_USES_UCONTEXT
// Saves what a function must preserve (System V ABI) and the stack pointer; the floating-point
// control words are the same for all fibers.
[[gnu::naked, gnu::noinline]] void swap_stacks(void** /*save*/, void* /*load*/) {
  asm(R"(
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
  )");
}
#endif

}  // namespace

Fiber::Fiber(void (*entry)()) {
  void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kPage, PROT_NONE);  // an overflow ends here
  memory_ = static_cast<std::byte*>(memory);
  bottom_ = memory_ + kPage;
  // Tops at one offset in their pages would share a few sets of the cache.
  const std::uintptr_t colour = reinterpret_cast<std::uintptr_t>(memory) / kStackBytes % 31;
  size_ = kStackBytes - kPage - colour * 128;
  restart(entry);
}

Fiber::~Fiber() {
  if (memory_ != nullptr) munmap(memory_, kStackBytes);
}

void Fiber::restart(void (*entry)()) {
  entry_ = entry;
  fake_stack_ = nullptr;
#if CK_EMULATOR_ASAN
  __asan_unpoison_memory_region(bottom_, size_);  // of frames that were given up
#endif
#if CK_EMULATOR_USES_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = const_cast<void*>(bottom_);
  context_.uc_stack.ss_size = size_;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::first_steps, 0);
#else
  auto* top = reinterpret_cast<void**>(memory_ + kPage + size_);
  *--top = nullptr;  // no caller
  *--top = reinterpret_cast<void*>(&Fiber::first_steps);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  stack_pointer_ = top;
#endif
}

void Fiber::first_steps() {
  landed();
  arriving->entry_();
}

void Fiber::landed() {
#if CK_EMULATOR_ASAN
  // The bounds of the calling thread's own stack are learnt here.
  __sanitizer_finish_switch_fiber(arriving->fake_stack_, &leaving->bottom_, &leaving->size_);
#endif
}

void Fiber::switch_to(Fiber& from, Fiber& to, [[maybe_unused]] bool ends) {
  leaving = &from;
  arriving = &to;
#if CK_EMULATOR_ASAN
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack_, to.bottom_, to.size_);
#endif
#if CK_EMULATOR_TSAN
  __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#if CK_EMULATOR_USES_UCONTEXT
  swapcontext(&from.context_, &to.context_);
#else
  swap_stacks(&from.stack_pointer_, to.stack_pointer_);
#endif
  landed();
}

#if CK_EMULATOR_TSAN
void* tsan_current() { return __tsan_get_current_fiber(); }
void* tsan_create() { return __tsan_create_fiber(0); }
void tsan_destroy(void* thread) { __tsan_destroy_fiber(thread); }
void tsan_acquire(void* object) { __tsan_acquire(object); }
void tsan_release(void* object) { __tsan_release(object); }
TsanUnseen::TsanUnseen() {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
TsanUnseen::~TsanUnseen() {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
void* tsan_current() { return nullptr; }
void* tsan_create() { return nullptr; }
void tsan_destroy(void*) {}
void tsan_acquire(void*) {}
void tsan_release(void*) {}
TsanUnseen::TsanUnseen() = default;
TsanUnseen::~TsanUnseen() = default;
#endif

}  // namespace convkit::emulator
