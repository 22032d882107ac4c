// The kernels of augment, best first.
#include "ops/augment/augment.h"
#include "ops/upsample2d/upsample2d.h"

namespace convkit {
namespace {

Workspace workspace(const Call& call) {
  return call[0].shape[0] * augment_image_bytes(call[0], call[1]);
}

constexpr Kernel rows[] = {
    {"forward", "cpu_rows", kFloats, CK_PER_ISA(augment_rows_forward), nullptr, workspace},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(augment_naive_forward)},
    {"backward", "cpu_rows", kFloats, CK_PER_ISA(augment_rows_backward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(augment_naive_backward)},
};

constexpr ParamField fields[] = {
    CK_CHOICE(AugmentParams, kind, kAugmentKindNames),
    CK_FIELD(AugmentParams, height_low),
    CK_FIELD(AugmentParams, height_high),
    CK_FIELD(AugmentParams, width_low),
    CK_FIELD(AugmentParams, width_high),
    CK_FIELD(AugmentParams, same),
    CK_FIELD(AugmentParams, crop_h),
    CK_FIELD(AugmentParams, crop_w),
    CK_CHOICE(AugmentParams, interpolation, kInterpolationNames),
    CK_CHOICE(AugmentParams, fill_mode, kFillModeNames),
    CK_FIELD(AugmentParams, fill_value),
    CK_FIELD(AugmentParams, stream),
};

}  // namespace

extern const OpTable augment_table = {"augment", rows, fields, sizeof(AugmentParams)};

}  // namespace convkit
