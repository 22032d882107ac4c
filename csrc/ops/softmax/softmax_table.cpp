// The kernels of softmax, best first.
#include "ops/softmax/softmax.h"

namespace convkit {
namespace {

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(softmax_simd_forward)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(softmax_naive_forward)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(softmax_simd_backward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(softmax_naive_backward)},
    {"log_forward", "cpu_simd", kFloats, CK_PER_ISA(softmax_simd_log_forward)},
    {"log_forward", "cpu_naive", kFloats, CK_PER_ISA(softmax_naive_log_forward)},
    {"log_backward", "cpu_simd", kFloats, CK_PER_ISA(softmax_simd_log_backward)},
    {"log_backward", "cpu_naive", kFloats, CK_PER_ISA(softmax_naive_log_backward)},
};

}  // namespace

extern const OpTable softmax_table = {"softmax", rows, {}, sizeof(SoftmaxParams)};

}  // namespace convkit
