#include "exec/finite.h"

#include <atomic>
#include <cstring>
#include <limits>

#include "core/kernel.h"

namespace convkit {
namespace {

// Magnitudes are in the order of their bits, infinity and then NaN above all. Integer arithmetic,
// so that the compiler may vectorise the reduction.
template <class T, class Bits>
bool any_beyond(const std::byte* data, int64_t begin, int64_t end, double limit) {
  constexpr Bits kMagnitude = static_cast<Bits>(~Bits{0}) >> 1;
  constexpr T kLargest = std::numeric_limits<T>::max();
  T most = kLargest;
  if (limit < static_cast<double>(kLargest)) most = static_cast<T>(limit);
  Bits allowed;
  std::memcpy(&allowed, &most, sizeof allowed);
  Bits found = 0;
  for (int64_t i = begin; i < end; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * int64_t{sizeof(Bits)}, sizeof bits);
    found |= static_cast<Bits>((bits & kMagnitude) > allowed);
  }
  return found != 0;
}

}  // namespace

bool all_within(const Tensor& tensor, double limit, ThreadPool& pool) {
  const Chunks chunks{tensor.size(), 65536};
  std::atomic<bool> within = true;
  pool.parallel_for(chunks.count(), [&](int64_t chunk, int) {
    const auto* data = tensor.as<const std::byte>();
    const int64_t begin = chunks.begin(chunk), end = chunks.end(chunk);
    const bool bad = tensor.dtype == Dtype::float64
                         ? any_beyond<double, uint64_t>(data, begin, end, limit)
                         : any_beyond<float, uint32_t>(data, begin, end, limit);
    if (bad) within.store(false, std::memory_order_relaxed);
  });
  return within;
}

}  // namespace convkit
