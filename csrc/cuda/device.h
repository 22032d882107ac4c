// The device and its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/runtime.h"

namespace convkit::cuda {

// An error of the runtime, or of a kernel; the text says what was being done.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws Error if a call of the runtime failed.
void require(cudaError_t status, const char* doing);

// Why no kernel can run here, in words; empty where one can.
std::string why_unavailable();

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t shared_bytes = 0;  // most that a block may have
  int64_t memory_bytes = 0;
  int driver = 0, runtime = 0;  // versions, as 1000 * major + 10 * minor
};
DeviceInfo device_info();

struct MemoryInfo {
  int64_t free = 0, total = 0;
};
MemoryInfo memory_info();

enum class MemoryKind {
  device,  // of the GPU alone
  shared,  // managed: the CPU reads and writes it too, while no kernel runs; pages move on demand
};

// Zeroed memory. Throws std::bad_alloc where the device has none.
class Memory {
 public:
  Memory(int64_t bytes, MemoryKind kind);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  MemoryKind kind() const { return kind_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  MemoryKind kind_;
};

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  operator cudaStream_t() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

// Copies that are done when they return.
void copy_in(void* device, const void* host, int64_t bytes);
void copy_out(void* host, const void* device, int64_t bytes);

}  // namespace convkit::cuda
