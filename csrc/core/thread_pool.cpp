#include "core/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "core/cpu_features.h"
#include "core/thread_wait.h"

namespace convkit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::milliseconds(20);
// Long enough to bridge what one thread does alone between two loops of a step. A thread that
// sleeps instead comes late, and on a virtual machine often on the CPU of the thread that woke it:
// steps after a pause then took 1.5 times as long for some 30 ms, until the system had separated
// the two.
constexpr int kSpinMicroseconds = 1000;
// With more threads than CPUs, a spinning thread holds the CPU that the awaited one needs.
constexpr int kSpinMicrosecondsOversubscribed = 1;

// What it costs to have a second thread take part, with what it reads and writes moving between two
// caches, and to tell each further one; measured with workers that spin.
constexpr double kForkSeconds = 4e-6;
constexpr double kPostSeconds = 0.1e-6;
// Waking a worker that sleeps takes the caller this long on a virtual machine, and the worker
// several times as long to come. So it is woken only once the loops that could have used it add up
// to as much (the rule for renting skis: at worst twice the best that foresight could do).
constexpr double kWakeSeconds = 50e-6;
// How often a worker may leave the CPU of its caller. On a machine that is busy with other work the
// system may put it back each time, for good reasons.
constexpr auto kLeaveInterval = std::chrono::milliseconds(1);

// One word per worker is the whole protocol.
//   idle -> posted      by the caller: there is a job
//   posted -> running   by the worker: it takes part
//   posted -> idle      by the caller: all chunks were taken before this worker woke, so nobody
//                       waits for it. This keeps oversubscribed and slowly waking pools fast.
//   running -> awaited  by the caller, before it sleeps until the worker is done
//   running/awaited -> idle  by the worker: done
//   idle -> parked      by the worker, before it sleeps
//   idle/parked -> exit by whoever shrinks the pool
enum : uint32_t { kIdle, kParked, kPosted, kRunning, kAwaited, kExit };

struct alignas(128) Worker {  // two lines: the adjacent-line prefetcher pairs them
  std::atomic<uint32_t> state{kIdle};
  std::atomic<int> cpu{-1};  // where it took up its last job
  Clock::time_point left{};  // when it last left the CPU of its caller
  int thread = 0;
  pthread_t handle{};
};

// The chunks that a thread takes first. So loops over the same images, one after the other, find
// what the last one left in the thread's own cache.
struct alignas(128) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

// What this thread is doing. thread >= 0: it is inside a parallel_for, or is a worker.
struct ThreadContext {
  int thread = -1;
  bool cancelled = false;
  double expected = -1;  // seconds; see ExpectedWork
  Clock::time_point last_poll{};
};
thread_local ThreadContext t_context;

}  // namespace

struct ThreadPool::State {
  // The job. Written by the owner before it posts, so plain fields suffice.
  ChunkFn fn = nullptr;
  const void* context = nullptr;
  int threads = 1;  // that have a share
  std::exception_ptr error;
  std::atomic<bool> failed{false};

  alignas(128) std::atomic<bool> owned{false};  // one caller at a time has the workers
  std::atomic<int> owner_cpu{-1};               // where it was when it had them last
  std::atomic<int> num_threads{0};              // 0: the default is not yet read
  std::atomic<int> spin_microseconds{kSpinMicroseconds};
  std::atomic<PollFn> poll{nullptr};
  std::atomic<void*> poll_context{nullptr};
  std::atomic<bool> closed{false};

  // Guarded by `owned`.
  double missed = 0;  // seconds of loops that ran without a worker because it slept
  int worker_count = 0;
  Worker* workers[kMaxThreads] = {};

  Share shares[kMaxThreads];  // of the job

  bool try_own() { return !owned.exchange(true, std::memory_order_acquire); }
  void release() { owned.store(false, std::memory_order_release); }

  void own() {
    while (!try_own()) sched_yield();
  }

  // Deals out the chunks.
  void share(int64_t chunks, int among) {
    threads = among;
    for (int i = 0; i < among; ++i) {
      shares[i].next.store(chunks * i / among, std::memory_order_relaxed);
      shares[i].end = chunks * (i + 1) / among;
    }
  }
  void skip_rest() {
    for (int i = 0; i < threads; ++i) {
      shares[i].next.store(shares[i].end, std::memory_order_relaxed);
    }
  }

  // Takes chunks until none is left, first a thread's own, then those of others. after_chunk() runs
  // between them and may say stop.
  template <class AfterChunk>
  void take_chunks(int thread, AfterChunk after_chunk) {
    try {
      for (int i = 0; i < threads; ++i) {
        Share& from = shares[(thread + i) % threads];
        while (from.next.load(std::memory_order_relaxed) < from.end) {
          const int64_t chunk = from.next.fetch_add(1, std::memory_order_relaxed);
          if (chunk >= from.end) break;
          fn(context, chunk, thread);
          if (after_chunk()) skip_rest();
        }
      }
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
      skip_rest();
    }
  }

  void worker_loop(Worker& worker) {
    DenormalsFlushed flushed;
    t_context.thread = worker.thread;  // so that a nested parallel_for runs inline
    for (;;) {
      uint32_t seen = spin_while(worker.state, kIdle, spin_microseconds.load(), owner_cpu);
      if (seen == kIdle && worker.state.compare_exchange_strong(seen, kParked)) {
        while ((seen = worker.state.load(std::memory_order_acquire)) == kParked) {
          sleep_while(worker.state, kParked);
        }
      }
      if (seen == kExit) return;
      if (seen != kPosted) continue;
      separate(worker);
      worker.cpu.store(current_cpu(), std::memory_order_relaxed);
      if (!worker.state.compare_exchange_strong(seen, kRunning)) continue;
      take_chunks(worker.thread, [] { return false; });
      if (worker.state.exchange(kIdle, std::memory_order_acq_rel) == kAwaited) wake(worker.state);
    }
  }

  // Has a worker run beside its caller, not on the same CPU. Costs a few microseconds when it does.
  void separate(Worker& worker) {
    const int cpu = current_cpu();
    if (cpu < 0 || cpu != owner_cpu.load(std::memory_order_relaxed)) return;
    const auto now = Clock::now();
    if (now - worker.left < kLeaveInterval) return;
    worker.left = now;
    leave_cpu(cpu);
  }

  static void* worker_main(void* argument);

  // Grows the pool; returns how many workers there are, fewer if the system refuses more.
  int ensure_workers(int count) {
    while (worker_count < count) {
      Worker* worker = new (std::nothrow) Worker;
      if (worker == nullptr) break;
      worker->thread = worker_count + 1;
      // Signals go to the application's threads, except the ones that a fault here raises.
      sigset_t blocked, before;
      sigfillset(&blocked);
      for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF}) {
        sigdelset(&blocked, fault);
      }
      pthread_sigmask(SIG_SETMASK, &blocked, &before);
      const int failure = pthread_create(&worker->handle, nullptr, worker_main, worker);
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      if (failure != 0) {
        delete worker;
        break;
      }
#ifdef __linux__
      char name[16];
      std::snprintf(name, sizeof(name), "convkit-%d", worker->thread);
      pthread_setname_np(worker->handle, name);
#endif
      workers[worker_count++] = worker;
    }
    return std::min(worker_count, count);
  }

  void shrink_workers(int count) {
    for (int i = count; i < worker_count; ++i) {
      if (workers[i]->state.exchange(kExit) == kParked) wake(workers[i]->state);
    }
    while (worker_count > count) {
      Worker* worker = workers[--worker_count];
      pthread_join(worker->handle, nullptr);
      workers[worker_count] = nullptr;
      delete worker;
    }
  }

  // Tells the first `helpers` workers of the job, those that sleep only if the work is worth it.
  void post(int helpers, double seconds) {
    bool asleep = false;
    const bool wakes = seconds < 0 || missed + seconds >= kWakeSeconds;
    for (int i = 0; i < helpers; ++i) {
      std::atomic<uint32_t>& state = workers[i]->state;
      uint32_t seen = kIdle;
      if (state.compare_exchange_strong(seen, kPosted, std::memory_order_acq_rel)) continue;
      asleep = true;
      // From parked, or it parks just now; nobody else posts.
      if (wakes && state.exchange(kPosted, std::memory_order_acq_rel) == kParked) wake(state);
    }
    missed = asleep && !wakes ? missed + seconds : 0;
  }

  void await(Worker& worker) {
    uint32_t seen = kPosted;
    if (worker.state.compare_exchange_strong(seen, kIdle)) return;
    if (spin_while(worker.state, kRunning, spin_microseconds.load(), worker.cpu) != kRunning) {
      return;
    }
    seen = kRunning;
    if (!worker.state.compare_exchange_strong(seen, kAwaited)) return;
    while (worker.state.load(std::memory_order_acquire) == kAwaited) {
      sleep_while(worker.state, kAwaited);
    }
  }

  // True: stop. The clock is read only if somebody set a poll.
  bool poll_due(DenormalsFlushed::Mode caller_mode) {
    const PollFn function = poll.load(std::memory_order_acquire);
    if (function == nullptr) return false;
    const auto now = Clock::now();
    if (now - t_context.last_poll < kPollInterval) return false;
    t_context.last_poll = now;
    // It may run the user's Python signal handlers, which expect ordinary arithmetic.
    const auto mode = DenormalsFlushed::mode();
    DenormalsFlushed::set_mode(caller_mode);
    struct Restore {
      DenormalsFlushed::Mode mode;
      ~Restore() { DenormalsFlushed::set_mode(mode); }
    } restore{mode};
    if (!function(poll_context.load())) return false;
    t_context.cancelled = true;
    return true;
  }
};

namespace {

ThreadPool* g_pool = nullptr;

}  // namespace

void* ThreadPool::State::worker_main(void* argument) {
  g_pool->state_->worker_loop(*static_cast<Worker*>(argument));
  return nullptr;
}

ThreadPool::ThreadPool() : state_(new State) {
  g_pool = this;
  // Only the forking thread lives on in a child. Forget the workers (their memory too: joining or
  // freeing them is undefined there); the next parallel_for makes new ones.
  pthread_atfork(nullptr, nullptr, [] {
    State& state = *g_pool->state_;
    // A fork from inside poll() returns into run(), which must not wait for the dead.
    for (int i = 0; i < state.worker_count; ++i) state.workers[i]->state.store(kIdle);
    state.worker_count = 0;
    state.release();
  });
  // Workers end before the process tears down what they may use. If some thread is still inside a
  // parallel_for, leave everything as it is: the system ends the workers then, and no memory of
  // the pool has gone.
  std::atexit([] {
    State& state = *g_pool->state_;
    const auto end = Clock::now() + std::chrono::milliseconds(50);
    while (!state.try_own()) {
      if (t_context.thread >= 0 || Clock::now() >= end) return;
      sched_yield();
    }
    state.closed.store(true);
    state.shrink_workers(0);
    state.release();
  });
}

ExpectedWork::ExpectedWork(double seconds) : before_(t_context.expected) {
  t_context.expected = seconds;
}

ExpectedWork::~ExpectedWork() { t_context.expected = before_; }

int ThreadPool::worth_threads(double seconds, int most) {
  // seconds / n + kPostSeconds * n is least at this n.
  const double best = std::sqrt(seconds / kPostSeconds);
  const int n = best < most ? static_cast<int>(best) : most;
  return n > 1 && seconds / n + kForkSeconds + kPostSeconds * n < seconds ? n : 1;
}

ThreadPool& ThreadPool::instance() {
  static ThreadPool* pool = new ThreadPool;
  return *pool;
}

int ThreadPool::num_threads() const {
  State& s = *state_;
  const int n = s.num_threads.load(std::memory_order_relaxed);
  if (n > 0) return n;
  const int chosen = default_num_threads(kMaxThreads);
  int unset = 0;  // a set_num_threads that came in between wins
  if (s.num_threads.compare_exchange_strong(unset, chosen)) {
    s.spin_microseconds.store(chosen > usable_cpus() ? kSpinMicrosecondsOversubscribed
                                                     : kSpinMicroseconds);
  }
  return s.num_threads.load();
}

void ThreadPool::set_num_threads(int n) {
  if (n < 1 || n > kMaxThreads) {
    throw std::invalid_argument("the number of threads must be from 1 to " +
                                std::to_string(kMaxThreads) + ", not " + std::to_string(n));
  }
  if (t_context.thread >= 0) {
    throw std::logic_error("the number of threads cannot change inside a parallel loop");
  }
  State& s = *state_;
  s.own();
  s.num_threads.store(n);
  s.spin_microseconds.store(n > usable_cpus() ? kSpinMicrosecondsOversubscribed
                                              : kSpinMicroseconds);
  s.shrink_workers(n - 1);
  s.release();
}

void ThreadPool::set_poll(PollFn poll, void* context) {
  state_->poll.store(nullptr);
  state_->poll_context.store(context);
  state_->poll.store(poll, std::memory_order_release);
}

bool ThreadPool::cancelled() const { return t_context.cancelled; }

void ThreadPool::cancel() { t_context.cancelled = true; }

void ThreadPool::clear_cancelled() { t_context.cancelled = false; }

void ThreadPool::run(int64_t chunks, ChunkFn fn, const void* context, int max_threads) {
  if (t_context.thread >= 0) {
    const int outer = t_context.thread;
    const int thread = max_threads > 0 && outer >= max_threads ? 0 : outer;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) fn(context, chunk, thread);
    return;
  }
  if (chunks <= 0 || t_context.cancelled) return;

  State& s = *state_;
  int threads = num_threads();
  if (max_threads > 0) threads = std::min(threads, max_threads);
  if (chunks < threads) threads = static_cast<int>(chunks);
  const double expected = t_context.expected;
  if (expected >= 0) threads = worth_threads(expected, threads);

  DenormalsFlushed flushed;
  struct Inside {
    Inside() { t_context.thread = 0; }
    ~Inside() { t_context.thread = -1; }
  } inside;
  const auto after_chunk = [&] { return s.poll_due(flushed.saved()); };

  if (threads == 1 || s.closed.load(std::memory_order_relaxed) || !s.try_own()) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      fn(context, chunk, 0);
      if (after_chunk()) return;
    }
    return;
  }

  s.owner_cpu.store(current_cpu(), std::memory_order_relaxed);
  s.fn = fn;
  s.context = context;
  s.failed.store(false, std::memory_order_relaxed);
  // num_threads may have shrunk since it was read: never grow past it again.
  const int helpers = s.ensure_workers(std::min(threads, s.num_threads.load()) - 1);
  s.share(chunks, helpers + 1);
  s.post(helpers, expected);
  s.take_chunks(0, after_chunk);
  for (int i = 0; i < helpers; ++i) s.await(*s.workers[i]);

  const std::exception_ptr error = s.error;
  s.error = nullptr;
  s.release();
  if (error) std::rethrow_exception(error);
}

}  // namespace convkit
