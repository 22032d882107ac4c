#include <cstring>

#include "simd/within.h"

namespace convkit::CK_ISA {
namespace {

// Magnitudes are in the order of their bits, infinity and then NaN above all. Integer arithmetic,
// so that the compiler may vectorise the reduction.
template <class T, class Bits>
bool any_beyond(const std::byte* data, int64_t n, double limit, T largest, Bits magnitude) {
  const T most = limit < static_cast<double>(largest) ? static_cast<T>(limit) : largest;
  Bits allowed;
  std::memcpy(&allowed, &most, sizeof allowed);
  Bits found = 0;
  for (int64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * int64_t{sizeof(Bits)}, sizeof bits);
    found |= static_cast<Bits>((bits & magnitude) > allowed);
  }
  return found != 0;
}

}  // namespace

bool all_within(const NumberRun& run) {
  const auto* data = static_cast<const std::byte*>(run.data);
  return run.dtype == Dtype::float64
             ? !any_beyond(data, run.n, run.limit, __DBL_MAX__, int64_t{0x7fffffffffffffff})
             : !any_beyond(data, run.n, run.limit, __FLT_MAX__, int32_t{0x7fffffff});
}

}  // namespace convkit::CK_ISA
