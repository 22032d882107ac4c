#include <cstring>

#include "ops/concatenate/concatenate_runs.h"

namespace convkit::CK_ISA {
namespace {

// Calls copy(whole, part, bytes) for every run of every part: where it lies in the joined array and
// where in its own.
template <class Copy>
CK_INLINE void for_runs(const Tensor& whole, const Tensor* parts, int count, int64_t axis,
                        const Copy& copy) {
  const int64_t pitch = runs_of(whole, axis).bytes;
  int64_t offset = 0;
  for (int i = 0; i < count; ++i) {
    const Runs runs = runs_of(parts[i], axis);
    for (int64_t o = 0; o < runs.outer && runs.bytes; ++o) {
      copy(whole.as<char>() + o * pitch + offset, parts[i].as<char>() + o * runs.bytes, runs.bytes);
    }
    offset += runs.bytes;
  }
}

}  // namespace

void concatenate_naive_forward(const Call& call) {
  const int parts = call.count - 1;
  for_runs(call[parts], call.operands, parts, call.as<ConcatenateParams>().axis,
           [](char* y, const char* x, int64_t bytes) { std::memcpy(y, x, bytes); });
}

void concatenate_naive_backward(const Call& call) {
  for_runs(call[0], call.operands + 1, call.count - 1, call.as<ConcatenateParams>().axis,
           [](const char* dy, char* dx, int64_t bytes) { std::memcpy(dx, dy, bytes); });
}

}  // namespace convkit::CK_ISA
