// Threads of a block: what they exchange, how they wait, and what they are told when they can't.
#include "check.h"
#include "checks.h"

using namespace check;
using namespace convkit;
using namespace convkit::cuda;

namespace {

template <class T>
struct Shuffles {
  static constexpr int kThreads = 64;
  T* out;  // [6][64]
  CK_DEVICE void operator()() const {
    const int t = threadIdx.x;
    const T value = static_cast<T>(t + 1);
    out[t] = __shfl_sync(kWholeWarp, value, 3);
    out[64 + t] = __shfl_up_sync(kWholeWarp, value, 2);
    out[128 + t] = __shfl_down_sync(kWholeWarp, value, 30);
    out[192 + t] = __shfl_xor_sync(kWholeWarp, value, 5);
    out[256 + t] = __shfl_sync(kWholeWarp, value, 9, 8);
    out[320 + t] = __shfl_down_sync(kWholeWarp, value, 3, 4);
  }
};

template <class T>
void check_shuffles() {
  const Device<T> out(6 * 64);
  launch(Call{}, dim3(1), Shuffles<T>{out});
  const std::vector<T> got = out.host();
  for (int t = 0; t < 64; ++t) {
    const int lane = t % 32, first = t - lane + 1;  // the value of lane 0
    CHECK(got[t] == static_cast<T>(first + 3));
    CHECK(got[64 + t] == static_cast<T>(first + (lane < 2 ? lane : lane - 2)));
    CHECK(got[128 + t] == static_cast<T>(first + (lane + 30 < 32 ? lane + 30 : lane)));
    CHECK(got[192 + t] == static_cast<T>(first + (lane ^ 5)));
    CHECK(got[256 + t] == static_cast<T>(first + lane / 8 * 8 + 1));
    CHECK(got[320 + t] == static_cast<T>(first + (lane % 4 == 0 ? lane + 3 : lane)));
  }
}

struct Votes {
  static constexpr int kThreads = 32;
  unsigned* out;  // [32][10]
  CK_DEVICE void operator()() const {
    const int lane = threadIdx.x;
    unsigned* mine = out + lane * 10;
    mine[0] = __ballot_sync(kWholeWarp, lane % 3 == 0);
    mine[1] = __any_sync(kWholeWarp, lane == 31) + 2 * __any_sync(kWholeWarp, lane == 32);
    mine[2] = __all_sync(kWholeWarp, lane < 32) + 2 * __all_sync(kWholeWarp, lane < 31);
    mine[3] = __reduce_add_sync(kWholeWarp, static_cast<unsigned>(lane));
    mine[4] = static_cast<unsigned>(__reduce_min_sync(kWholeWarp, lane - 5));
    mine[5] = __reduce_max_sync(kWholeWarp, static_cast<unsigned>(lane * lane));
    mine[6] = __reduce_or_sync(kWholeWarp, 1u << lane / 2);
    mine[7] = __reduce_xor_sync(kWholeWarp, static_cast<unsigned>(lane & 16 ? 3 : 5));
    // Halves of a warp on paths of their own.
    if (lane < 16) {
      mine[8] = __reduce_add_sync(0x0000FFFFu, 1u);
      mine[9] = __ballot_sync(0x0000FFFFu, lane == 2);
    } else {
      mine[8] = __shfl_sync(0xFFFF0000u, 100u + lane, 20);
      mine[9] = __ballot_sync(0xFFFF0000u, 1);
    }
  }
};

void check_votes() {
  const Device<unsigned> out(320);
  launch(Call{}, dim3(1), Votes{out});
  const std::vector<unsigned> got = out.host();
  unsigned thirds = 0;
  for (int i = 0; i < 32; i += 3) thirds |= 1u << i;
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned* mine = &got[lane * 10];
    const unsigned wanted[10] = {thirds,
                                 1,
                                 1,
                                 31 * 16,
                                 static_cast<unsigned>(-5),
                                 31 * 31,
                                 0xFFFF,
                                 0,
                                 lane < 16 ? 16u : 120u,
                                 lane < 16 ? 4u : 0xFFFF0000u};
    for (int i = 0; i < 10; ++i) CHECK(mine[i] == wanted[i]);
  }
}

struct Counts {
  static constexpr int kThreads = 96;
  int* out;
  CK_DEVICE void operator()() const {
    const int t = threadIdx.x;
    const int n = __syncthreads_count(t % 2), any = __syncthreads_or(t == 95),
              all = __syncthreads_and(t < 95);
    if (t == 40) out[0] = n * 100 + any * 10 + all;
  }
};

struct Atomics {
  static constexpr int kThreads = 128;
  int* i;
  unsigned* u;
  unsigned long long* wide;
  CK_DEVICE void operator()() const {
    const int t = blockIdx.x * kThreads + threadIdx.x;
    atomicAdd(&i[0], t % 2 == 0 ? 3 : -1);
    atomicMax(&i[1], t);
    atomicMin(&i[2], -t);
    if (atomicCAS(&i[3], 0, 1) == 0) atomicAdd(&i[4], 1);
    atomicExch(&i[5], 7);
    atomicOr(&u[0], 1u << t % 32);
    atomicAnd(&u[1], ~(1u << t % 31));
    atomicXor(&u[2], 1u);
    atomicInc(&u[3], 9u);
    atomicAdd(wide, (1ull << 33) + 1);
  }
};

void check_atomics() {
  const Device<int> i(std::vector<int>(6, 0));
  const Device<unsigned> u(std::vector<unsigned>{0, ~0u, 0, 0});
  const Device<unsigned long long> wide(std::vector<unsigned long long>{0});
  launch(Call{}, dim3(3), Atomics{i, u, wide});
  CHECK((i.host() == std::vector<int>{384, 383, -383, 1, 1, 7}));
  CHECK((u.host() == std::vector<unsigned>{~0u, 1u << 31, 0, 4}));
  CHECK(wide.host()[0] == 384 * ((1ull << 33) + 1));
}

// One array per block and site, NaN at first, the same one each time the site is passed.
struct SharedArrays {
  static constexpr int kThreads = 64;
  float* out;
  CK_DEVICE void operator()() const {
    CK_SHARED(float, fresh, [kThreads]);
    CK_DYN_SHARED(double, reversed);
    const int t = threadIdx.x;
    const bool nan = !CK_CUDA_EMULATED || isnan(fresh[t]);
    fresh[t] = static_cast<float>(t);
    reversed[t] = t;
    __syncthreads();
    const float sum = fresh[63 - t] + static_cast<float>(reversed[t ^ 1]);
    out[blockIdx.x * kThreads + t] = nan ? sum : -1.0f;
  }
};

void check_shared() {
  const Device<float> out(3 * 64);
  launch(Call{}, dim3(3), SharedArrays{out}, 64 * sizeof(double));
  const std::vector<float> got = out.host();
  for (int i = 0; i < 192; ++i) {
    const int t = i % 64;
    CHECK(got[i] == static_cast<float>(63 - t + (t ^ 1)));
  }
#if CK_CUDA_EMULATED
  CHECK_SAYS(error_of([&] { launch(Call{}, dim3(1), SharedArrays{out}); }), "no dynamic shared");
#endif
}

// Two warps hand a number to and fro through an mbarrier each.
struct PingPong {
  static constexpr int kThreads = 64;
  int* out;
  CK_DEVICE void operator()() const {
    CK_SHARED(uint64_t, turn, [2]);
    CK_SHARED(int, ball, [1]);
    const int warp = threadIdx.x / 32;
    if (threadIdx.x == 0) {
      mbarrier_init(&turn[0], 32);
      mbarrier_init(&turn[1], 32);
      ball[0] = 0;
    }
    __syncthreads();
    for (int round = 0; round < 5; ++round) {
      if (warp == 1) mbarrier_wait(&turn[0], round % 2);
      if (threadIdx.x % 32 == 0) ball[0] = ball[0] * 2 + warp;
      __syncwarp();
      mbarrier_arrive(&turn[warp]);
      if (warp == 0) mbarrier_wait(&turn[1], round % 2);
    }
    if (threadIdx.x == 0) out[0] = ball[0];
  }
};

struct Flag {
  static constexpr int kThreads = 64;
  int* out;
  bool set;
  CK_DEVICE void operator()() const {
    CK_SHARED(int, flag, [1]);
    if (threadIdx.x == 0) flag[0] = 0;
    __syncthreads();
    if (threadIdx.x == 7 && set) atomicExch(&flag[0], 1);
    while (atomicAdd(&flag[0], 0) == 0) spin_hint();
    out[threadIdx.x] = 1;
  }
};

// ---- what a thread must not do

#if CK_CUDA_EMULATED

enum Wrong {
  kBarriers,
  kReturned,
  kMissingLane,
  kInactive,
  kOwnMask,
  kTwoWays,
  kCopyInFlight,
  kRawMbarrier
};

struct Misbehaves {
  static constexpr int kThreads = 64;
  Wrong how;
  float* memory;
  CK_DEVICE void operator()() const {
    CK_SHARED(float, tile, [64]);
    CK_SHARED(uint64_t, barrier, [1]);
    const int t = threadIdx.x;
    if (how == kBarriers) {
      if (t < 16) {
        __syncthreads();
      } else {
        __syncthreads();
      }
    } else if (how == kReturned) {
      if (t < 3) __syncthreads();
    } else if (how == kMissingLane) {
      if (t != 5) __syncwarp();
      __syncthreads();
    } else if (how == kInactive) {
      if (t < 16) __shfl_sync(0xFFFFu, t, 20);
    } else if (how == kOwnMask) {
      __syncwarp(0xFFu);
    } else if (how == kTwoWays) {
      if (t % 2 == 0)
        __ballot_sync(kWholeWarp, 1);
      else
        __ballot_sync(kWholeWarp, 0);
    } else if (how == kCopyInFlight) {
      cp_async<4>(&tile[t], &memory[t]);
      cp_async_commit();
    } else if (how == kRawMbarrier) {
      mbarrier_arrive(barrier);
    }
  }
};

void check_diagnosis() {
  const Device<float> memory(std::vector<float>(64, 1.0f));
  const auto error = [&](Wrong how) {
    return error_of([&] { launch(Call{}, dim3(2), Misbehaves{how, memory}); });
  };
  const std::string differs = error(kBarriers);
  CHECK_SAYS(differs, "kernel Misbehaves, block (");
  CHECK_SAYS(differs, "of (2, 1, 1): threads are at different barriers: 16 of 64 threads wait at ");
  CHECK_SAYS(differs, "48 of 64 threads wait at __syncthreads, check_threads.cpp:");
  CHECK_SAYS(error(kReturned), "3 of 64 threads wait at __syncthreads");
  CHECK_SAYS(error(kReturned), "the block can't go on: 61 of 64 threads returned");
  CHECK_SAYS(error(kMissingLane), "31 of 64 threads wait at __syncwarp, check_threads.cpp:");
  CHECK_SAYS(error(kMissingLane), "33 of 64 threads wait at __syncthreads");
  CHECK_SAYS(error(kInactive), "a shuffle reads a lane that takes no part in it, check_threads");
  CHECK_SAYS(error(kOwnMask), "is not in its own mask");
  CHECK_SAYS(error(kTwoWays), "32 of 64 threads wait at __ballot_sync");
  CHECK_SAYS(error(kCopyInFlight), "before its cp.async copies were waited for");
  CHECK_SAYS(error(kRawMbarrier), "an mbarrier that was not initialised");
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure && cudaGetLastError() == cudaSuccess);
  // And after all that a kernel runs.
  check_shared();
}

#else
void check_diagnosis() {}
#endif

}  // namespace

void check_threads() {
  check_shuffles<int>();
  check_shuffles<float>();
  check_shuffles<double>();
  check_shuffles<unsigned char>();
  check_votes();
  const Device<int> counts(1);
  launch(Call{}, dim3(1), Counts{counts});
  CHECK(counts.host()[0] == 48 * 100 + 10);
  check_atomics();
  check_shared();
  const Device<int> ball(1);
  launch(Call{}, dim3(1), PingPong{ball});
  CHECK(ball.host()[0] == 0b0101010101);
  const Device<int> seen(64);
  launch(Call{}, dim3(1), Flag{seen, true});
  CHECK(seen.host() == std::vector<int>(64, 1));
  check_diagnosis();
}

#if CK_CUDA_EMULATED
void check_endless_loop() {
  const Device<int> seen(64);
  CHECK_SAYS(error_of([&] { launch(Call{}, dim3(1), Flag{seen, false}); }), "spin for ever");
}
#endif
