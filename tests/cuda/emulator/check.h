// What the checks share: device memory as an object, a call without an executor, expectations.
// Compiled by nvcc, they ask a GPU whether it does what the emulator takes for granted.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/launch.cuh"
#include "cuda/ptx.cuh"
#include "cuda/reduce.cuh"
#if CK_CUDA_EMULATED
#include "cuda/emulator/emulator.h"
#endif

namespace check {

inline int failures = 0;

inline void that(bool holds, const char* what, const char* file, int line) {
  if (!holds && ++failures <= 20) std::printf("%s:%d: %s\n", file, line, what);
}
#define CHECK(condition) ::check::that((condition), #condition, __FILE__, __LINE__)

#if CK_CUDA_EMULATED
// The text of the error that f throws; "" if it throws none.
template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const convkit::emulator::Error& e) {
    return e.what();
  }
  return "";
}

inline void says(const std::string& text, const char* part, const char* file, int line) {
  if (text.find(part) != std::string::npos) return;
  std::printf("%s:%d: \"%s\" does not say \"%s\"\n", file, line, text.c_str(), part);
  ++failures;
}
#define CHECK_SAYS(text, part) ::check::says((text), (part), __FILE__, __LINE__)

#endif

struct Call {
  cudaStream_t stream = nullptr;
  const int* halted = nullptr;
};

template <class T>
class Device {
 public:
  explicit Device(std::size_t n) : n_(n) {
    CHECK(cudaMalloc(&data_, n * sizeof(T)) == cudaSuccess);
  }
  explicit Device(const std::vector<T>& values) : Device(values.size()) {
    cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~Device() { cudaFree(data_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  operator T*() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(n_);
    cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t n_;
};

// Numbers in [-1, 1) of 24 bits, the same in every run.
inline std::vector<float> numbers(std::size_t n, uint32_t seed) {
  std::vector<float> values(n);
  for (float& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f;
  }
  return values;
}

}  // namespace check
