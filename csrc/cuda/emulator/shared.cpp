// Shared memory of a block: a piece of the heap for each array, so that a sanitizer knows its ends.
#include <cstdlib>
#include <cstring>
#include <new>

#include "cuda/emulator/block.h"
#include "cuda/emulator/emulator.h"

namespace convkit::emulator {

unsigned char* Scheduler::allocate_shared(const char* name, std::size_t bytes,
                                          std::size_t alignment) {
  void* data = nullptr;
  const TsanUnseen unseen;
  if (posix_memalign(&data, alignment, bytes + kCanaryRoom) != 0) throw std::bad_alloc();
  auto* p = static_cast<unsigned char*>(data);
  std::memset(p, kPoison, bytes);
  std::memset(p + bytes, kCanary, kCanaryRoom);
  shared_.push_back({p, bytes, name});
  return p;
}

void Scheduler::release_shared() {
  const TsanUnseen unseen;
  for (const SharedMemory& m : shared_) {
    if (overrun(m.data + m.bytes) && error_.empty())
      error_ = described("a write behind the end of shared array " + std::string(m.name) + " (" +
                         std::to_string(m.bytes) + " bytes)");
    if (CK_EMULATOR_TSAN)
      old_shared_.push_back(m.data);
    else
      std::free(m.data);
  }
  shared_.clear();
}

void* Scheduler::shared(SharedArray& array) {
  if (array.block == serial_) return array.data;
  static_bytes_ += (array.bytes + 15) / 16 * 16;
  const Limits limits = architecture_limits();
  const std::size_t total = static_bytes_ + launch_->dynamic_shared;
  if (static_bytes_ > limits.static_shared)
    fail([&] {
      return "static shared memory, with array " + std::string(array.name) + ", is " +
             std::to_string(static_bytes_) + " bytes, and at most " +
             std::to_string(limits.static_shared) + " are allowed: use CK_DYN_SHARED";
    });
  if (total > limits.shared)
    fail([&] {
      return "static and dynamic shared memory is " + std::to_string(total) + " bytes, and " +
             architecture_name() + " has " + std::to_string(limits.shared);
    });
  array.data = allocate_shared(array.name, array.bytes, 16);
  array.block = serial_;
  return array.data;
}

void* Scheduler::dynamic_shared() {
  if (dynamic_ == nullptr)
    fail([] { return "CK_DYN_SHARED, but the launch gives no dynamic shared memory"; });
  return dynamic_;
}

void* shared(SharedArray& array) { return scheduler().shared(array); }
void* dynamic_shared() { return scheduler().dynamic_shared(); }

}  // namespace convkit::emulator
