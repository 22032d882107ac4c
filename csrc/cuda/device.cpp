#include "cuda/device.h"

#include <new>

namespace convkit::cuda {

void require(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // or the next call would report it again
  throw Error(std::string("CUDA could not ") + doing + ": " + cudaGetErrorString(status));
}

std::string why_unavailable() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    if (driver == 0) return "no NVIDIA driver is installed";
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    return "the NVIDIA driver is for CUDA " + std::to_string(driver / 1000) + "." +
           std::to_string(driver % 1000 / 10) + ", and convkit was built with CUDA " +
           std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10) +
           ": install a newer driver";
  }
  if (status != cudaSuccess) {
    cudaGetLastError();
    return std::string("the NVIDIA driver says: ") + cudaGetErrorString(status);
  }
  if (count == 0) return "the driver sees no GPU";
  return "";
}

DeviceInfo device_info() {
  int device = 0;
  cudaDeviceProp properties{};
  DeviceInfo info;
  require(cudaGetDevice(&device), "find the current device");
  require(cudaGetDeviceProperties(&properties, device), "look at the device");
  require(cudaDriverGetVersion(&info.driver), "ask for the driver's version");
  require(cudaRuntimeGetVersion(&info.runtime), "ask for the runtime's version");
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  info.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  return info;
}

MemoryInfo memory_info() {
  std::size_t free = 0, total = 0;
  require(cudaMemGetInfo(&free, &total), "ask for free memory");
  return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

Memory::Memory(int64_t bytes, MemoryKind kind) : bytes_(bytes), kind_(kind) {
  const auto size = static_cast<std::size_t>(bytes > 0 ? bytes : 1);
  // Managed memory may be larger than the device's; then pages would move in every step.
  if (kind == MemoryKind::shared && bytes > memory_info().free) throw std::bad_alloc();
  const cudaError_t status =
      kind == MemoryKind::device ? cudaMalloc(&data_, size) : cudaMallocManaged(&data_, size);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw std::bad_alloc();
  }
  require(status, "allocate memory");
  require(cudaMemset(data_, 0, size), "clear memory");
  require(cudaDeviceSynchronize(), "clear memory");
}

Memory::~Memory() { cudaFree(data_); }

Pinned::Pinned(int64_t bytes) {
  const cudaError_t status = cudaMallocHost(&data_, static_cast<std::size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw std::bad_alloc();
  }
  require(status, "pin memory of the host");
}

Pinned::~Pinned() { cudaFreeHost(data_); }

int64_t extent_of(const void* address, int64_t most) {
  // cuMemGetAddressRange, without a link to the driver's library.
  using AddressRange = int (*)(unsigned long long* base, std::size_t* size, unsigned long long at);
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const cudaError_t status = cudaGetDriverEntryPointByVersion("cuMemGetAddressRange", &entry, 12000,
                                                              cudaEnableDefault, &found);
  if (status != cudaSuccess || found != cudaDriverEntryPointSuccess) {
    cudaGetLastError();
    return -1;
  }
  const auto range = reinterpret_cast<AddressRange>(entry);
  const auto begin = static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(address));
  unsigned long long base = 0;
  std::size_t size = 0;
  if (range(&base, &size, begin) != 0) return -1;
  int64_t known = static_cast<int64_t>(base + size - begin);
  // Memory that was reserved and then mapped piece by piece is known by pieces.
  while (known < most && range(&base, &size, begin + static_cast<unsigned long long>(known)) == 0)
    known = static_cast<int64_t>(base + size - begin);
  return known < most ? known : most;
}

void require_on_device(const void* address) {
  cudaPointerAttributes attributes{};
  require(cudaPointerGetAttributes(&attributes, address), "look at an address");
  if (attributes.type == cudaMemoryTypeUnregistered)
    throw Error("a buffer of the program is not in the memory of the GPU");
}

Event::Event(bool timed) {
  require(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming),
          "make an event");
}

Event::~Event() { cudaEventDestroy(event_); }

void Event::record(cudaStream_t stream) const {
  require(cudaEventRecord(event_, stream), "record an event");
}

void Event::synchronize() const { require(cudaEventSynchronize(event_), "wait for an event"); }

double seconds_between(const Event& start, const Event& stop) {
  float milliseconds = 0;
  require(cudaEventElapsedTime(&milliseconds, start, stop), "time kernels");
  return milliseconds * 1e-3;
}

Stream::Stream() {
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream");
}

Stream::~Stream() { cudaStreamDestroy(stream_); }

void Stream::synchronize() const { require(cudaStreamSynchronize(stream_), "run kernels"); }

void Stream::wait(const Event& event) const {
  require(cudaStreamWaitEvent(stream_, event, 0), "wait for an event");
}

void copy_in(void* device, const void* host, int64_t bytes) {
  require(cudaMemcpy(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice),
          "copy data to the device");
}

void copy_out(void* host, const void* device, int64_t bytes) {
  require(cudaMemcpy(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost),
          "copy data from the device");
}

void copy_within(void* to, const void* from, int64_t bytes) {
  require(cudaMemcpy(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice),
          "copy data on the device");
  require(cudaDeviceSynchronize(), "copy data on the device");  // the host is not waited for else
}

}  // namespace convkit::cuda
