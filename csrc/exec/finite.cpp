#include "exec/finite.h"

#include <atomic>
#include <cstring>

#include "core/kernel.h"

namespace convkit {
namespace {

// NaN and infinity have all bits of the exponent set. Integer arithmetic, so that the compiler may
// vectorise the reduction.
template <class Bits, Bits kExponent>
bool any_not_finite(const std::byte* data, int64_t begin, int64_t end) {
  Bits found = 0;
  for (int64_t i = begin; i < end; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * int64_t{sizeof(Bits)}, sizeof bits);
    found |= static_cast<Bits>((bits & kExponent) == kExponent);
  }
  return found != 0;
}

}  // namespace

bool all_finite(const Tensor& tensor, ThreadPool& pool) {
  const Chunks chunks{tensor.size(), 65536};
  std::atomic<bool> finite = true;
  pool.parallel_for(chunks.count(), [&](int64_t chunk, int) {
    const auto* data = tensor.as<const std::byte>();
    const int64_t begin = chunks.begin(chunk), end = chunks.end(chunk);
    const bool bad = tensor.dtype == Dtype::float64
                         ? any_not_finite<uint64_t, 0x7ff0000000000000>(data, begin, end)
                         : any_not_finite<uint32_t, 0x7f800000>(data, begin, end);
    if (bad) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

}  // namespace convkit
