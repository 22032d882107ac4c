// The kernels of moments, best first.
#include "ops/moments/moments.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(moments_naive_forward)},
};

}  // namespace

extern const OpTable moments_table = {"moments", rows, {}, sizeof(MomentsParams)};

}  // namespace convkit
