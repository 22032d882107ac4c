#include "exec/machine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/cpu_features.h"
#include "core/thread_pool.h"
#include "exec/buffer.h"
#include "simd/peak.h"

namespace convkit {
namespace {

double now() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

double burst(Isa isa, int64_t iterations) {
#if CK_ISA_COUNT == 3
  if (isa == Isa::avx512) return avx512::fma_burst(iterations);
  if (isa == Isa::avx2) return avx2::fma_burst(iterations);
#else
  (void)isa;
#endif
  return baseline::fma_burst(iterations);
}

// The best rate of the bursts that fit into `seconds`: what the machine can do when left alone.
template <class Work>
double best_rate(double amount, double seconds, const Work& work) {
  double best = 0;
  const double end = now() + seconds;
  do {
    const double start = now();
    work();
    best = std::max(best, amount / (now() - start));
  } while (now() < end);
  return best;
}

}  // namespace

double peak_flops(double seconds) {
  ThreadPool& pool = ThreadPool::instance();
  const int64_t threads = pool.num_threads();
  constexpr int64_t kIterations = 100000;
  const Isa isa = active_isa();
  const double flops = static_cast<double>(threads * kIterations * fma_burst_flops(isa));
  volatile double sink = 0;
  return best_rate(flops, seconds, [&] {
    pool.parallel_for(threads, [&](int64_t, int) { sink = burst(isa, kIterations); });
  });
}

// Calls work(offset, bytes) for each thread's share of a block.
template <class Work>
void CopyTest::on_all_threads(const Work& work) const {
  ThreadPool& pool = ThreadPool::instance();
  const int64_t threads = pool.num_threads(), share = from_.bytes() / threads;
  pool.parallel_for(threads, [&](int64_t chunk, int) {
    const int64_t begin = chunk * share;
    work(begin, chunk + 1 < threads ? share : from_.bytes() - begin);
  });
}

CopyTest::CopyTest(int64_t bytes) : from_(bytes), to_(bytes) {
  on_all_threads([&](int64_t begin, int64_t n) {
    std::memset(static_cast<char*>(from_.data()) + begin, 1, static_cast<std::size_t>(n));
    std::memset(static_cast<char*>(to_.data()) + begin, 0, static_cast<std::size_t>(n));
  });
}

double CopyTest::bandwidth(double seconds) const {
  return best_rate(2.0 * static_cast<double>(from_.bytes()), seconds, [&] {
    on_all_threads([&](int64_t begin, int64_t n) {
      std::memcpy(static_cast<char*>(to_.data()) + begin,
                  static_cast<const char*>(from_.data()) + begin, static_cast<std::size_t>(n));
    });
  });
}

double copy_bandwidth(int64_t bytes, double seconds) { return CopyTest(bytes).bandwidth(seconds); }

double clock_rate(double seconds) {
  constexpr int64_t kChain = 100000, kLatency = 3;
  uint64_t product = 3, factor = 0x9E3779B97F4A7C15;
  asm volatile("" : "+r"(factor));  // not known to the compiler, which would join the steps
  return best_rate(static_cast<double>(kChain * kLatency), seconds, [&] {
    for (int64_t i = 0; i < kChain; ++i) {
      product *= factor;
      asm volatile("" : "+r"(product));
    }
  });
}

}  // namespace convkit
