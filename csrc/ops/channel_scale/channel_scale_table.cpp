// The kernels of channel_scale, best first.
#include "core/long_rows.h"
#include "ops/channel_scale/channel_scale.h"

namespace convkit {
namespace {

int64_t item_bytes(const Call& call) { return kDtypeBytes[static_cast<int>(call[0].dtype)]; }

template <int count>
Workspace parameters(const Call& call) {
  return LongRows(call[0]).wide_bytes(count, item_bytes(call));
}

Workspace two_sums(const Call& call) {
  return LongRows(call[0]).sums_bytes(2, 2, item_bytes(call));
}

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(channel_scale_simd_forward), nullptr,
     parameters<2>},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(channel_scale_naive_forward)},
    {"backward_input", "cpu_simd", kFloats, CK_PER_ISA(channel_scale_simd_backward_input), nullptr,
     parameters<1>},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(channel_scale_naive_backward_input)},
    {"backward_weight", "cpu_simd", kFloats, CK_PER_ISA(channel_scale_simd_backward_weight),
     nullptr, two_sums},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(channel_scale_naive_backward_weight)},
};

}  // namespace

extern const OpTable channel_scale_table = {"channel_scale", rows, {}, sizeof(ChannelScaleParams)};

}  // namespace convkit
