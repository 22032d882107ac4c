// The emulator's own controls, for tests: seed, architecture, limits and what has been launched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/emulator/types.h"

namespace convkit::emulator {

// What a kernel did that it must not, or a launch beyond a limit of the device.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Memory is full of it until it is written: NaN in every floating type, -1 in the others. What lies
// behind an array, where no sanitizer watches, is found changed after the launch.
constexpr unsigned char kPoison = 0xFF, kCanary = 0xC5;
constexpr std::size_t kCanaryBytes = 1024;

// Where the random order of blocks and threads begins; CONVKIT_EMULATOR_SEED in the environment
// sets it, too.
void seed(uint64_t value);

// The device that is emulated: 75, 80, 86, 89, 90, 100 or 120; 90 at first.
void set_architecture(int compute_capability);
std::string architecture_name();  // "sm_90"

struct Limits {
  std::size_t static_shared;  // of a block, in bytes
  std::size_t shared;         // static and dynamic
};
Limits architecture_limits();

// Bytes of device memory, 8 GB at first; cudaMalloc fails beyond it.
void set_memory(std::size_t bytes);
struct MemoryUse {
  std::size_t bytes = 0, blocks = 0;
};
MemoryUse memory_in_use();
// The size of a block of device memory that something has been written behind; 0 if there is none.
std::size_t overrun_block();

struct LaunchRecord {
  const char* signature;
  dim3 grid;
  int threads;
  std::size_t static_shared;  // the most that a block took
  std::size_t dynamic_shared;
};
// The last launches, oldest first, and how many there have been.
std::vector<LaunchRecord> launches();
uint64_t launch_count();
void forget_launches();
void count_launch(const LaunchRecord& record);

// "MaxForward<float>" of what signature() gives for it.
std::string kernel_name(const char* signature);

}  // namespace convkit::emulator
