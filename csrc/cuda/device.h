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

// Memory of the host that stays where it is, so that copies from it need no one's help. Throws
// std::bad_alloc where the system has none.
class Pinned {
 public:
  explicit Pinned(int64_t bytes);
  ~Pinned();
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

// How many of the bytes from an address on are allocated, at most `most`; -1 where the driver knows
// nothing of the address. Allocations that follow each other count as one.
int64_t extent_of(const void* address, int64_t most);

// Throws Error if kernels cannot read what is there.
void require_on_device(const void* address);

// A place in a stream's work, recorded there.
class Event {
 public:
  explicit Event(bool timed = false);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  operator cudaEvent_t() const { return event_; }
  void record(cudaStream_t stream) const;
  void synchronize() const;

 private:
  cudaEvent_t event_ = nullptr;
};

// Seconds between two events that are timed and done.
double seconds_between(const Event& start, const Event& stop);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  operator cudaStream_t() const { return stream_; }
  void synchronize() const;
  // What is put on it from now on comes after the event.
  void wait(const Event& event) const;

 private:
  cudaStream_t stream_ = nullptr;
};

// Copies that are done when they return.
void copy_in(void* device, const void* host, int64_t bytes);
void copy_out(void* host, const void* device, int64_t bytes);
void copy_within(void* to, const void* from, int64_t bytes);  // the device

}  // namespace convkit::cuda
