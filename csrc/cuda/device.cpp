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

Stream::Stream() {
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream");
}

Stream::~Stream() { cudaStreamDestroy(stream_); }

void Stream::synchronize() const { require(cudaStreamSynchronize(stream_), "run kernels"); }

void copy_in(void* device, const void* host, int64_t bytes) {
  require(cudaMemcpy(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice),
          "copy data to the device");
}

void copy_out(void* host, const void* device, int64_t bytes) {
  require(cudaMemcpy(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost),
          "copy data from the device");
}

}  // namespace convkit::cuda
