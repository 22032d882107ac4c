// Device memory, and copies.
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cuda/emulator/fiber.h"
#include "cuda/emulator/state.h"

namespace convkit::emulator {
namespace {

cudaError_t allocate(void** memory, std::size_t bytes, bool on_device) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.lock);
  if (forbidden()) return kept(cudaErrorStreamCaptureUnsupported);
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (on_device && (bytes > r.memory || r.use.bytes > r.memory - bytes))
    return kept(cudaErrorMemoryAllocation);
  // As aligned as the device's.
  if (posix_memalign(memory, 256, bytes + kCanaryRoom) != 0) return kept(cudaErrorMemoryAllocation);
  std::memset(*memory, kPoison, bytes);
  std::memset(static_cast<unsigned char*>(*memory) + bytes, kCanary, kCanaryRoom);
  r.blocks[static_cast<unsigned char*>(*memory)] = {bytes, on_device};
  if (on_device) {
    r.use.bytes += bytes;
    ++r.use.blocks;
  }
  return cudaSuccess;
}

cudaError_t release(void* memory, bool on_device) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.lock);
  if (forbidden()) return kept(cudaErrorStreamCaptureUnsupported);
  if (memory == nullptr) return cudaSuccess;
  finish_all();
  const auto block = r.blocks.find(static_cast<unsigned char*>(memory));
  if (block == r.blocks.end() || block->second.on_device != on_device)
    return kept(cudaErrorInvalidValue);
  if (on_device) {
    r.use.bytes -= block->second.bytes;
    --r.use.blocks;
  }
  std::memset(memory, kPoison, block->second.bytes);  // NaN for who still reads it
  r.blocks.erase(block);
  std::free(memory);
  return cudaSuccess;
}

// The live block, of the device or of pinned memory, that an address is in, and how far; or null.
std::pair<const Block*, std::size_t> block_at(const void* address) {
  Runtime& r = runtime();
  const auto* p = static_cast<const unsigned char*>(address);
  auto block = r.blocks.upper_bound(const_cast<unsigned char*>(p));
  if (block == r.blocks.begin()) return {nullptr, 0};
  --block;
  const auto offset = static_cast<std::size_t>(p - block->first);
  if (offset > block->second.bytes) return {nullptr, 0};
  return {&block->second, offset};
}

// Whether all bytes are in one live block of the device.
bool on_device(const void* address, std::size_t bytes) {
  const auto [block, offset] = block_at(address);
  return block != nullptr && block->on_device && bytes <= block->bytes - offset;
}

bool copy_is_valid(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool reads = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool writes = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  return (!reads || on_device(from, bytes)) && (!writes || on_device(to, bytes));
}

// CUresult cuMemGetAddressRange(CUdeviceptr*, size_t*, CUdeviceptr)
int address_range(unsigned long long* base, std::size_t* size, unsigned long long at) {
  const std::lock_guard lock(runtime().lock);
  const auto* p = reinterpret_cast<const unsigned char*>(static_cast<std::uintptr_t>(at));
  const auto [block, offset] = block_at(p);
  if (block == nullptr || offset == block->bytes) return 1;
  *base = at - offset;
  *size = block->bytes;
  return 0;
}

}  // namespace

void set_memory(std::size_t bytes) { runtime().memory = bytes; }

MemoryUse memory_in_use() {
  const std::lock_guard lock(runtime().lock);
  return runtime().use;
}

std::size_t overrun_block() {
  Runtime& r = runtime();
  const std::lock_guard lock(r.lock);
  for (const auto& [data, block] : r.blocks) {
    unsigned char* const canary = data + block.bytes;
    if (!overrun(canary)) continue;
    std::memset(canary, kCanary, kCanaryRoom);  // said once
    return block.bytes;
  }
  return 0;
}

}  // namespace convkit::emulator

using namespace convkit::emulator;

cudaError_t cudaMalloc(void** memory, std::size_t bytes) { return allocate(memory, bytes, true); }
cudaError_t cudaMallocManaged(void** memory, std::size_t bytes, unsigned /*flags*/) {
  return allocate(memory, bytes, true);
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return allocate(memory, bytes, false);
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned /*flags*/) {
  return allocate(memory, bytes, false);
}
cudaError_t cudaFree(void* memory) { return release(memory, true); }
cudaError_t cudaFreeHost(void* memory) { return release(memory, false); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  const std::lock_guard lock(runtime().lock);
  const auto [block, offset] = block_at(memory);
  *attributes = {block == nullptr   ? cudaMemoryTypeUnregistered
                 : block->on_device ? cudaMemoryTypeDevice
                                    : cudaMemoryTypeHost,
                 0, const_cast<void*>(memory), nullptr};
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function,
                                             unsigned /*version*/, unsigned long long /*flags*/,
                                             cudaDriverEntryPointQueryResult* found) {
  const bool known = std::strcmp(name, "cuMemGetAddressRange") == 0;
  *function = known ? reinterpret_cast<void*>(&address_range) : nullptr;
  if (found != nullptr)
    *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.lock);
  *total = r.memory;
  *free = r.memory - r.use.bytes;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard lock(runtime().lock);
  if (!copy_is_valid(to, from, bytes, kind)) return kept(cudaErrorInvalidValue);
  const auto copy = [=] {
    if (bytes != 0) std::memcpy(to, from, bytes);
  };
  CUstream_st* const s = known(stream);
  const Block* const source = block_at(from).first;
  const bool pinned = source != nullptr && !source->on_device;
  if (s == nullptr || s->capture != nullptr || !pinned) return put(stream, copy);
  if (bytes != 0) std::memset(to, kPoison, bytes);
  s->late->copies.push_back(copy);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const std::lock_guard lock(runtime().lock);
  if (forbidden()) return kept(cudaErrorStreamCaptureUnsupported);
  const cudaError_t status = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return status == cudaSuccess ? cudaStreamSynchronize(nullptr) : status;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(runtime().lock);
  if (bytes != 0 && !on_device(memory, bytes)) return kept(cudaErrorInvalidValue);
  return put(stream, [=] {
    if (bytes != 0) std::memset(memory, value, bytes);
  });
}

cudaError_t cudaMemset(void* memory, int value, std::size_t bytes) {
  const std::lock_guard lock(runtime().lock);
  if (forbidden()) return kept(cudaErrorStreamCaptureUnsupported);
  return cudaMemsetAsync(memory, value, bytes, nullptr);
}
