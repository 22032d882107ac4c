// The module's own threads. No OpenMP: two OpenMP runtimes in one process oversubscribe, change
// each other's affinity and do not survive fork.
//
//   ThreadPool::instance().parallel_for(chunks, [&](int64_t chunk, int thread) { ... });
//
// Rules for kernels: the number of chunks follows from the shape and never from the number of
// threads, and a chunk writes only what belongs to it; then the result has the same bits on any
// number of threads. `thread` may choose scratch memory and nothing else.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace convkit {

// While it lives, this thread flushes denormal numbers to zero (results and operands); then the
// caller's mode returns. Denormals, which decaying weights produce, cost about 100 cycles each.
class DenormalsFlushed {
 public:
  CK_INLINE DenormalsFlushed() : saved_(mode()) { set_mode(saved_ | kFlush); }
  CK_INLINE ~DenormalsFlushed() { set_mode(saved_); }
  DenormalsFlushed(const DenormalsFlushed&) = delete;
  DenormalsFlushed& operator=(const DenormalsFlushed&) = delete;

#if CK_X86_64
  using Mode = uint32_t;
  static constexpr Mode kFlush = 0x8040;  // MXCSR: FTZ | DAZ
  CK_INLINE static Mode mode() { return __builtin_ia32_stmxcsr(); }
  CK_INLINE static void set_mode(Mode mode) { __builtin_ia32_ldmxcsr(mode); }
#elif defined(__aarch64__)
  using Mode = uint64_t;
  static constexpr Mode kFlush = uint64_t{1} << 24;  // FPCR.FZ
  CK_INLINE static Mode mode() {
    Mode mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  CK_INLINE static void set_mode(Mode mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
#else
  using Mode = uint32_t;
  static constexpr Mode kFlush = 0;
  CK_INLINE static Mode mode() { return 0; }
  CK_INLINE static void set_mode(Mode) {}
#endif
  CK_INLINE Mode saved() const { return saved_; }

 private:
  Mode saved_;
};

// While it lives, this thread's loops are known to take about so many seconds together, were they
// to run on one thread. A loop that is too short for several threads then runs on fewer, down to
// one, and does not wake sleeping ones; see ThreadPool::worth_threads. Negative: nothing is known,
// and loops take all threads that they can.
class ExpectedWork {
 public:
  explicit ExpectedWork(double seconds);
  ~ExpectedWork();
  ExpectedWork(const ExpectedWork&) = delete;
  ExpectedWork& operator=(const ExpectedWork&) = delete;

 private:
  double before_;
};

// What one thread does in a second, to estimate work by: tiles of middling size, arrays in a cache.
// Rather too much than too little, so that where other threads cannot bring much, none are asked.
constexpr double kThreadFlops = 100e9;
constexpr double kThreadBytes = 60e9;

class ThreadPool {
 public:
  static constexpr int kMaxThreads = 1024;
  using PollFn = bool (*)(void* context);

  static ThreadPool& instance();

  // The caller included. Unset: CONVKIT_NUM_THREADS, else OMP_NUM_THREADS, else usable_cpus().
  // Throws std::runtime_error when CONVKIT_NUM_THREADS is not a number from 1 to kMaxThreads.
  int num_threads() const;

  // Waits for a parallel_for of another thread to end. Throws std::invalid_argument outside
  // [1, kMaxThreads] and std::logic_error inside a parallel_for.
  void set_num_threads(int n);

  // The number of threads, of at most `most`, that finish work of so many seconds first. Each
  // thread more costs the caller a little, and the second costs most: the data moves between the
  // caches of two cores.
  static int worth_threads(double seconds, int most);

  // Calls f(chunk, thread) once for every chunk in [0, chunks), in no fixed order, from at most
  // max_threads threads (0: no cap), fewer where this thread's ExpectedWork is short, and returns
  // when all are done. 0 <= thread < num_threads(), and < max_threads if that is given; the caller
  // is thread 0 and takes part. It runs inline, in
  // order, if one chunk or one thread is left, inside another parallel_for (then with the outer
  // call's `thread`), or while another thread's parallel_for has the workers. The first exception
  // of f skips the chunks not yet begun and is rethrown here. f runs with denormals flushed,
  // whichever thread it is on, so that no bit depends on the thread. Allocates nothing once the
  // workers exist.
  template <class F>
  CK_INLINE void parallel_for(int64_t chunks, const F& f, int max_threads = 0) {
    run(
        chunks,
        [](const void* context, int64_t chunk, int thread) {
          (*static_cast<const F*>(context))(chunk, thread);
        },
        &f, max_threads);
  }

  // Ctrl-C. The thread that calls parallel_for (never a worker) also calls poll(context) between
  // its chunks, at most every 20 ms, with its own denormal mode. Once that returns true, the
  // chunks not yet begun are skipped, as are this thread's later parallel_for calls, until it
  // calls clear_cancelled(). The flag belongs to the calling thread, so that a Ctrl-C for the main
  // thread cannot spoil the results of another. It may be set at any time; a parallel_for that runs
  // on another thread may still call the old poll, with either context. Null: none.
  void set_poll(PollFn poll, void* context);
  bool cancelled() const;
  void cancel();  // as if poll had returned true: what runs on this thread is to end
  void clear_cancelled();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  using ChunkFn = void (*)(const void* context, int64_t chunk, int thread);
  struct State;

  ThreadPool();
  void run(int64_t chunks, ChunkFn fn, const void* context, int max_threads);

  State* state_;  // never freed: a thread may still use it while the process exits
};

}  // namespace convkit
