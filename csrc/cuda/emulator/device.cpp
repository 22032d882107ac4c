// The device that is emulated: its limits, its number formats and what has been launched on it.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <mutex>

#include "cuda/emulator/emulator.h"
#include "cuda/emulator/runtime.h"
#include "cuda/emulator/types.h"

namespace convkit::emulator {
namespace {

constexpr std::size_t kKB = 1024;
constexpr std::size_t kMostRecords = 4096;

// Shared memory that a block may have at most, by compute capability (CUDA C++ Programming Guide,
// "Technical Specifications per Compute Capability").
struct Architecture {
  int capability;
  std::size_t shared;
};
constexpr Architecture kArchitectures[] = {
    {75, 64 * kKB},  {80, 163 * kKB},  {86, 99 * kKB},  {89, 99 * kKB},
    {90, 227 * kKB}, {100, 227 * kKB}, {120, 99 * kKB},
};
const Architecture* architecture = &kArchitectures[4];

std::mutex records_lock;
std::deque<LaunchRecord> records;
uint64_t record_count = 0;

}  // namespace

void set_architecture(int capability) {
  const auto* found =
      std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                   [&](const Architecture& a) { return a.capability == capability; });
  if (found == std::end(kArchitectures))
    throw Error("no architecture sm_" + std::to_string(capability) +
                ": choose 75, 80, 86, 89, 90, 100 or 120");
  architecture = found;
}

std::string architecture_name() { return "sm_" + std::to_string(architecture->capability); }

Limits architecture_limits() { return {48 * kKB, architecture->shared}; }

std::vector<LaunchRecord> launches() {
  const std::lock_guard lock(records_lock);
  return {records.begin(), records.end()};
}

uint64_t launch_count() {
  const std::lock_guard lock(records_lock);
  return record_count;
}

void forget_launches() {
  const std::lock_guard lock(records_lock);
  records.clear();
  record_count = 0;
}

void count_launch(const LaunchRecord& record) {
  const std::lock_guard lock(records_lock);
  if (records.size() == kMostRecords) records.pop_front();
  records.push_back(record);
  ++record_count;
}

std::string kernel_name(const char* signature) {
  std::string name = signature;
  const std::size_t begin = name.find("K = ");
  if (begin == std::string::npos) return name;
  name = name.substr(begin + 4, name.find_first_of(";]", begin) - begin - 4);
  for (const char* noise : {"{anonymous}::", "(anonymous namespace)::", "convkit::", "cuda::"})
    for (std::size_t at; (at = name.find(noise)) != std::string::npos;)
      name.erase(at, std::strlen(noise));
  return name;
}

uint16_t bfloat16_of(float x) {
  const uint32_t u = bits_of(x);
  if (std::isnan(x)) return 0x7FFF;
  return static_cast<uint16_t>((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

uint16_t half_of(float x) {
  const uint32_t u = bits_of(x), sign = u >> 16 & 0x8000;
  if (std::isnan(x)) return 0x7FFF;
  const float magnitude = std::fabs(x);
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7C00);  // to infinity
  if (magnitude < 0x1p-14f) {  // a multiple of 2^-24, which the sum rounds to
    const uint32_t steps = bits_of(magnitude + 0.5f) - bits_of(0.5f);
    return static_cast<uint16_t>(sign | steps);
  }
  const uint32_t m = bits_of(magnitude) - (uint32_t{127 - 15} << 23);
  return static_cast<uint16_t>(sign | ((m + 0xFFF + (m >> 13 & 1)) >> 13));
}

float float_of_half(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = h >> 10 & 31, fraction = h & 0x3FF;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 127 - 15;
  return float_of(sign | wide << 23 | fraction << 13);
}

}  // namespace convkit::emulator

// ---- the runtime's questions about the device

using namespace convkit::emulator;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *properties = {};
  const std::string name = "convkit emulator (" + architecture_name() + ")";
  std::strncpy(properties->name, name.c_str(), sizeof properties->name - 1);
  properties->major = architecture->capability / 10;
  properties->minor = architecture->capability % 10;
  properties->multiProcessorCount = 4;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->l2CacheSize = 4 << 20;
  properties->memoryBusWidth = 256;
  properties->concurrentManagedAccess = 1;
  properties->sharedMemPerBlock = 48 * kKB;
  properties->sharedMemPerBlockOptin = architecture->shared;
  properties->sharedMemPerMultiprocessor = architecture->shared + kKB;
  std::size_t free = 0;
  return cudaMemGetInfo(&free, &properties->totalGlobalMem);
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }
