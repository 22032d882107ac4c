// A view of a contiguous array: what a kernel receives. It owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"

namespace convkit {

enum class Dtype : int32_t { float32, float64, uint8, int32, int64 };
constexpr int kDtypeCount = 5;
constexpr const char* kDtypeNames[kDtypeCount] = {"float32", "float64", "uint8", "int32", "int64"};
constexpr int64_t kDtypeBytes[kDtypeCount] = {4, 8, 1, 4, 8};

constexpr unsigned bit(Dtype d) { return 1u << static_cast<int>(d); }
constexpr unsigned kFloats = bit(Dtype::float32) | bit(Dtype::float64);
constexpr unsigned kFloat32 = bit(Dtype::float32);

constexpr int kMaxRank = 6;

struct Tensor {
  void* data = nullptr;  // null: an optional operand that is absent
  Dtype dtype = Dtype::float32;
  int rank = 0;
  int64_t shape[kMaxRank] = {};

  template <class T>
  CK_INLINE T* as() const {
    return static_cast<T*>(data);
  }
  CK_INLINE bool present() const { return data != nullptr; }
  CK_INLINE int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }
  // Number of elements before and in the last axis: the matrix that most row-wise ops see.
  CK_INLINE int64_t rows() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank; ++i) n *= shape[i];
    return n;
  }
  CK_INLINE int64_t last() const { return rank ? shape[rank - 1] : 1; }
  CK_INLINE int64_t bytes() const { return size() * kDtypeBytes[static_cast<int>(dtype)]; }
};

}  // namespace convkit
