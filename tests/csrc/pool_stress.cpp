// Stresses core/thread_pool: coverage of chunks, nesting, exceptions, cancellation, several
// callers, resizing, denormals, fork, oversubscription, exit. Exits non-zero on a failure; meant
// to be run under ThreadSanitizer too.
//   g++ -std=c++20 -O2 -Icsrc tests/csrc/pool_stress.cpp csrc/core/thread_pool.cpp
//       csrc/core/cpu_features.cpp -pthread
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/cpu_features.h"
#include "core/thread_pool.h"

using convkit::DenormalsFlushed;
using convkit::ExpectedWork;
using convkit::ThreadPool;

namespace {

std::atomic<int> g_failures{0};
std::atomic<int> g_most_threads{ThreadPool::kMaxThreads};  // what the running test sets at most

#define CK_EXPECT(condition)                                   \
  do {                                                         \
    if (!(condition)) {                                        \
      std::printf("FAIL line %d: %s\n", __LINE__, #condition); \
      ++g_failures;                                            \
    }                                                          \
  } while (0)

ThreadPool& pool() { return ThreadPool::instance(); }

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Every chunk exactly once, with a valid thread number that nobody else has at the same time.
void check_coverage(int64_t chunks, int max_threads) {
  std::vector<int> hits(static_cast<size_t>(chunks), 0);
  std::vector<std::atomic<int>> busy(ThreadPool::kMaxThreads);
  const int limit =
      std::min(max_threads > 0 ? max_threads : ThreadPool::kMaxThreads, g_most_threads.load());
  pool().parallel_for(
      chunks,
      [&](int64_t chunk, int thread) {
        CK_EXPECT(thread >= 0 && thread < limit);
        CK_EXPECT(busy[thread].exchange(1) == 0);
        ++hits[chunk];
        busy[thread].store(0);
      },
      max_threads);
  for (int hit : hits) CK_EXPECT(hit == 1);
}

void test_coverage() {
  for (int threads : {1, 2, 3, 8}) {
    pool().set_num_threads(threads);
    g_most_threads = threads;
    CK_EXPECT(pool().num_threads() == threads);
    for (int64_t chunks : {0, 1, 2, 3, 7, 64, 1000}) {
      for (int max_threads : {0, 1, 2, 100}) check_coverage(chunks, max_threads);
    }
  }
  for (int i = 0; i < 20000; ++i) {
    std::atomic<int64_t> sum{0};
    pool().parallel_for(5, [&](int64_t chunk, int) { sum += chunk; });
    CK_EXPECT(sum == 10);
    if (i % 4000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // let them park
  }
}

void test_nested() {
  g_most_threads = ThreadPool::kMaxThreads;
  pool().set_num_threads(4);
  std::atomic<int> inner{0};
  pool().parallel_for(16, [&](int64_t, int outer_thread) {
    pool().parallel_for(8, [&](int64_t, int thread) {
      CK_EXPECT(thread == outer_thread);
      ++inner;
    });
    pool().parallel_for(2, [&](int64_t, int thread) { CK_EXPECT(thread == 0); }, 1);
    bool threw = false;
    try {
      pool().set_num_threads(2);
    } catch (const std::logic_error&) {
      threw = true;
    }
    CK_EXPECT(threw);
  });
  CK_EXPECT(inner == 128);
}

// How many threads took part in a loop of 8 chunks, each of which takes `microseconds`.
int threads_of_a_loop(double microseconds) {
  std::atomic<int> others{0};
  pool().parallel_for(8, [&](int64_t, int thread) {
    const double end = seconds() + microseconds * 1e-6;
    while (seconds() < end) continue;
    if (thread > 0) others |= 1 << thread;
  });
  int count = 1;
  for (int bits = others; bits != 0; bits &= bits - 1) ++count;
  return count;
}

// Whether another thread joins in, within two seconds of trying.
bool joined_by_another() {
  for (const double end = seconds() + 2; seconds() < end;) {
    if (threads_of_a_loop(100) > 1) return true;
  }
  return false;
}

void test_expected_work() {
  CK_EXPECT(ThreadPool::worth_threads(0, 64) == 1);
  CK_EXPECT(ThreadPool::worth_threads(1e-6, 64) == 1);
  CK_EXPECT(ThreadPool::worth_threads(1, 1) == 1);
  CK_EXPECT(ThreadPool::worth_threads(1, 64) == 64);
  int before = 1;
  for (double s = 1e-7; s < 1e-2; s *= 1.1) {
    const int n = ThreadPool::worth_threads(s, 64);
    CK_EXPECT(n >= before && n <= 64);
    before = n;
  }
  pool().set_num_threads(4);
  {
    const ExpectedWork little(1e-6);  // whatever it really takes
    for (int i = 0; i < 20; ++i) CK_EXPECT(threads_of_a_loop(20) == 1);
    {
      const ExpectedWork much(1);
      CK_EXPECT(joined_by_another());
      const ExpectedWork unknown(-1);
      CK_EXPECT(joined_by_another());
    }
    for (int i = 0; i < 20; ++i) CK_EXPECT(threads_of_a_loop(20) == 1);
  }
  CK_EXPECT(joined_by_another());
  // Sleeping workers stay asleep for a short loop, and are woken once many have come.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const ExpectedWork middling(20e-6);
  CK_EXPECT(threads_of_a_loop(200) == 1);
  CK_EXPECT(joined_by_another());
}

void test_exceptions() {
  for (int threads : {1, 4}) {
    pool().set_num_threads(threads);
    for (int i = 0; i < 300; ++i) {
      std::string what;
      std::atomic<int> done{0};
      try {
        pool().parallel_for(100, [&](int64_t chunk, int) {
          if (chunk == i % 100 || chunk == (i + 50) % 100) throw std::runtime_error("chunk");
          ++done;
        });
      } catch (const std::runtime_error& e) {
        what = e.what();
      }
      CK_EXPECT(what == "chunk" && done < 100);
      check_coverage(20, 0);
    }
  }
  for (int bad : {0, -1, ThreadPool::kMaxThreads + 1}) {
    bool threw = false;
    try {
      pool().set_num_threads(bad);
    } catch (const std::invalid_argument&) {
      threw = true;
    }
    CK_EXPECT(threw);
  }
}

void test_cancellation() {
  struct Poll {
    std::thread::id caller = std::this_thread::get_id();
    std::atomic<int> calls{0};
    int stop_at = 2;
  };
  for (int threads : {1, 3}) {
    pool().set_num_threads(threads);
    Poll poll;
    pool().set_poll(
        [](void* context) {
          Poll& poll = *static_cast<Poll*>(context);
          CK_EXPECT(std::this_thread::get_id() == poll.caller);
          return ++poll.calls >= poll.stop_at;
        },
        &poll);
    std::atomic<int> done{0};
    const double begin = seconds();
    pool().parallel_for(100000, [&](int64_t, int) {
      ++done;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    CK_EXPECT(pool().cancelled() && poll.calls == 2 && done < 100000);
    CK_EXPECT(seconds() - begin > 0.015);  // two polls are at least 20 ms apart
    pool().parallel_for(10, [&](int64_t, int) { CK_EXPECT(false); });
    std::thread([&] {  // cancellation belongs to the thread whose poll said so
      CK_EXPECT(!pool().cancelled());
      pool().set_poll(nullptr, nullptr);
      check_coverage(10, 0);
    })
        .join();
    pool().clear_cancelled();
    CK_EXPECT(!pool().cancelled());
    check_coverage(10, 0);
  }
}

void test_several_callers() {
  pool().set_num_threads(3);
  g_most_threads = 4;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([c] {
      for (int i = 0; i < 2000; ++i) {
        check_coverage(1 + (i + c) % 9, 0);
        if (c == 0 && i % 100 == 0) pool().set_num_threads(1 + i / 100 % 4);
      }
    });
  }
  for (std::thread& t : callers) t.join();
}

void test_denormals() {
  g_most_threads = ThreadPool::kMaxThreads;
  pool().set_num_threads(4);
  volatile float tiny = 1e-39f;
  const auto mode = DenormalsFlushed::mode();
  for (int64_t chunks : {1, 64}) {
    pool().parallel_for(chunks, [&](int64_t, int) {
      if (DenormalsFlushed::kFlush != 0) CK_EXPECT(tiny * 1.0f == 0.0f);
    });
  }
  CK_EXPECT(DenormalsFlushed::mode() == mode);
  CK_EXPECT(tiny * 1.0f != 0.0f);
}

void test_fork() {
#ifdef __SANITIZE_THREAD__
  return;  // ThreadSanitizer does not support threads after a fork
#endif
  pool().set_num_threads(4);
  for (int round = 0; round < 20; ++round) {
    check_coverage(50, 0);
    std::atomic<bool> stop{false};
    std::thread other([&] {  // in some rounds the fork happens while the workers are busy
      while (!stop) pool().parallel_for(50, [](int64_t, int) {});
    });
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);  // a hang must not outlive the test
      g_failures = 0;
      for (int i = 0; i < 20; ++i) check_coverage(50, 0);
      pool().set_num_threads(2);
      check_coverage(50, 0);
      if (round % 2 == 0) _exit(g_failures == 0 ? 0 : 1);
      std::exit(g_failures == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CK_EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    stop = true;
    other.join();
    check_coverage(50, 0);
  }
}

double region_microseconds(int threads, int64_t chunks, int rounds) {
  pool().set_num_threads(threads);
  for (int i = 0; i < 100; ++i) pool().parallel_for(chunks, [](int64_t, int) {});
  const double begin = seconds();
  for (int i = 0; i < rounds; ++i) pool().parallel_for(chunks, [](int64_t, int) {});
  return (seconds() - begin) / rounds * 1e6;
}

void report_cost() {
  const int cpus = convkit::usable_cpus();
  std::printf("empty region, 2 chunks: 1 thread %.3f us, %d threads %.3f us, 8 threads %.3f us\n",
              region_microseconds(1, 2, 20000), cpus, region_microseconds(cpus, 2, 20000),
              region_microseconds(8, 2, 20000));
  // 5 ms of work in 64 chunks: 8 threads must not be much slower than as many as there are CPUs.
  double times[2];
  const int threads[2] = {cpus, 8};
  for (int t = 0; t < 2; ++t) {
    pool().set_num_threads(threads[t]);
    times[t] = 1e9;
    for (int i = 0; i < 20; ++i) {
      const double begin = seconds();
      pool().parallel_for(64, [](int64_t, int) {
        volatile double x = 1;
        for (int k = 0; k < 40000; ++k) x = x * 1.0000001;
      });
      times[t] = std::min(times[t], seconds() - begin);
    }
  }
  std::printf("64 chunks of work: %d threads %.2f ms, 8 threads %.2f ms\n", cpus, times[0] * 1e3,
              times[1] * 1e3);
#ifndef __SANITIZE_THREAD__
  CK_EXPECT(times[1] < 3 * times[0] + 0.01);
#endif
}

}  // namespace

int main() {
  test_coverage();
  test_nested();
  test_expected_work();
  test_exceptions();
  test_cancellation();
  test_several_callers();
  test_denormals();
  test_fork();
  report_cost();
  pool().set_num_threads(6);
  check_coverage(100, 0);  // leaves with workers that still spin
  std::printf("%d failures\n", g_failures.load());
  return g_failures == 0 ? 0 : 1;
}
