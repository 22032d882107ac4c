// The kernels of add, best first.
#include "ops/add/add.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(add_simd_forward)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(add_naive_forward)},
};

}  // namespace

extern const OpTable add_table = {"add", rows, {}, sizeof(AddParams)};

}  // namespace convkit
