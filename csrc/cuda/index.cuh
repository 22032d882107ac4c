// Indices of arrays, on the device.
#pragma once

#include <cstdint>

#include "cuda/runtime.h"

namespace convkit::cuda {

// a / b of numbers that are not negative, as a rule below 2^32: there division is several times as
// fast.
CK_DEVICE int64_t quotient(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

// Takes the last of several indices off their common one.
CK_DEVICE int64_t take_index(int64_t& i, int64_t size) {
  const int64_t rest = quotient(i, size), last = i - rest * size;
  i = rest;
  return last;
}

}  // namespace convkit::cuda
