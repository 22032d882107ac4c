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

// Where the random order of blocks and threads begins.
void seed(uint64_t value);

// The device that is emulated: 75, 80, 86, 89, 90, 100 or 120; 90 at first.
void set_architecture(int compute_capability);
std::string architecture_name();  // "sm_90"

struct Limits {
  std::size_t static_shared;  // of a block, in bytes
  std::size_t shared;         // static and dynamic
};
Limits architecture_limits();

// Bytes of device memory; cudaMalloc fails beyond it.
void set_memory(std::size_t bytes);
struct MemoryUse {
  std::size_t bytes = 0, blocks = 0;
};
MemoryUse memory_in_use();

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
