// Zeroed memory for parameters and activations: 64-byte aligned, on huge pages where it is large
// and the system offers them (a first touch of 64 MB takes 28 ms with small pages, 4 with huge).
// What is large takes up memory only where it has been written to: gradients that nothing makes
// are there for the asking.
#pragma once

#include <cstddef>
#include <cstdint>

namespace convkit {

class Buffer {
 public:
  explicit Buffer(int64_t bytes);  // throws std::bad_alloc
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  std::size_t mapped_ = 0;  // bytes, of pages that are not of the heap
};

}  // namespace convkit
