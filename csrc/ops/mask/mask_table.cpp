// The kernels of mask, best first. Its gradient is the same choice with the same mask.
#include "ops/mask/mask.h"

namespace convkit {
namespace {

constexpr unsigned kSources = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);
constexpr unsigned kMasks = bit(Dtype::uint8);

constexpr Kernel rows[] = {
    {"find", "cpu_naive", kSources, CK_PER_ISA(mask_find)},
    {"reverse", "cpu_naive", kMasks, CK_PER_ISA(mask_reverse)},
    {"weight", "cpu_naive", kMasks, CK_PER_ISA(mask_weight)},
    {"forward", "cpu_steps", kFloats, CK_PER_ISA(mask_steps_apply)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(mask_naive_apply)},
    {"backward", "cpu_steps", kFloats, CK_PER_ISA(mask_steps_apply)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(mask_naive_apply)},
};

constexpr ParamField fields[] = {
    CK_FIELD(MaskParams, value),
    CK_FIELD(MaskParams, mean),
};

}  // namespace

extern const OpTable mask_table = {"mask", rows, fields, sizeof(MaskParams)};

}  // namespace convkit
