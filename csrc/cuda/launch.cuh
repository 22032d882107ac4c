// How a kernel is written and launched.
//
// A kernel is a struct: its members are its arguments (plain values and device pointers, at most
// 4 KB), kThreads is the number of threads of a block, operator() what one thread does:
//
//   struct Scale {
//     static constexpr int kThreads = 256;
//     static constexpr int kMinBlocks = 2;  // optional: blocks per multiprocessor to compile for
//     float* x;
//     int64_t n;
//     CK_DEVICE void operator()() const { ... threadIdx.x, blockIdx, gridDim, CK_SHARED ... }
//   };
//   launch(call, dim3(blocks), Scale{x, n});
//
// A body that is the same for each of n elements is shorter:
//
//   struct Scale {
//     float* x;
//     CK_DEVICE void operator()(int64_t i) const { x[i] *= 2; }
//   };
//   for_each(call, n, Scale{x});
//
// `call` is whatever has a `stream` and a `halted`: where that is not null and the int it points
// to is not 0 when the kernel starts, nothing is done.
//
// Rules. No early return in front of a barrier. No lockstep: lanes of a warp meet only at *_sync
// functions and __syncwarp(). A loop that waits for another thread calls spin_hint(), and waits for
// no other block. No float atomics, and nothing that depends on the number of multiprocessors: same
// shapes, same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda/runtime.h"

namespace convkit::cuda {

// The most dynamic shared memory that needs no opting in.
constexpr std::size_t kPlainSharedBytes = 48 * 1024;

template <class K, class = void>
struct MinBlocks : std::integral_constant<int, 1> {};
template <class K>
struct MinBlocks<K, std::void_t<decltype(K::kMinBlocks)>>
    : std::integral_constant<int, K::kMinBlocks> {};

template <class K>
constexpr void check_kernel() {
  static_assert(std::is_trivially_copyable_v<K>, "a kernel's members are plain values");
  static_assert(sizeof(K) + 16 <= 4096, "a kernel's arguments take at most 4 KB");
  static_assert(K::kThreads >= 1 && K::kThreads <= 1024, "a block has 1 to 1024 threads");
}

#if CK_CUDA_EMULATED

template <class Call, class K>
void launch(const Call& call, dim3 grid, const K& kernel, std::size_t dynamic_shared = 0) {
  check_kernel<K>();
  emulator::Launch launch;
  launch.kernel = emulator::signature<K>();
  launch.grid = grid;
  launch.threads = K::kThreads;
  launch.dynamic_shared = dynamic_shared;
  launch.halted = call.halted;
  launch.body = [](const void* arguments) { (*static_cast<const K*>(arguments))(); };
  launch.set_arguments(&kernel, sizeof(K));
  emulator::launch(launch, call.stream);
}

#else

template <class K>
__global__ void __launch_bounds__(K::kThreads, MinBlocks<K>::value)
    entry(const int* halted, const __grid_constant__ K kernel) {
  if (halted != nullptr && *halted != 0) return;
  kernel();
}

// An error is kept for cudaGetLastError.
template <class Call, class K>
void launch(const Call& call, dim3 grid, const K& kernel, std::size_t dynamic_shared = 0) {
  check_kernel<K>();
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (dynamic_shared > kPlainSharedBytes)
    cudaFuncSetAttribute(entry<K>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(dynamic_shared));
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(K::kThreads);
  config.dynamicSmemBytes = dynamic_shared;
  config.stream = call.stream;
  cudaLaunchKernelEx(&config, entry<K>, call.halted, kernel);
}

#endif

template <class F>
struct ForEach {
  static constexpr int kThreads = 256;
  F f;
  int64_t n;
  CK_DEVICE void operator()() const {
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += step) f(i);
  }
};

// An emulated thread has its price, and under ThreadSanitizer a thousand times that.
#if !CK_CUDA_EMULATED
constexpr int64_t kBlocksOfForEach = 2048;
#elif defined(__SANITIZE_THREAD__)
constexpr int64_t kBlocksOfForEach = 1;
#else
constexpr int64_t kBlocksOfForEach = 8;
#endif

// Calls f(i) for every i in [0, n), in any order.
template <class Call, class F>
void for_each(const Call& call, int64_t n, const F& f) {
  const int64_t blocks = (n + ForEach<F>::kThreads - 1) / ForEach<F>::kThreads;
  launch(call, dim3(static_cast<unsigned>(blocks < kBlocksOfForEach ? blocks : kBlocksOfForEach)),
         ForEach<F>{f, n});
}

}  // namespace convkit::cuda
