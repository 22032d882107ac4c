// The kernels of activation, best first.
#include "ops/activation/activation.h"

namespace convkit {
namespace {

bool activation_has_from_output(const Call& call) {
  return from_output(static_cast<Activation>(call.as<ActivationParams>().activation));
}

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(activation_simd_forward)},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(activation_naive_forward)},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(activation_simd_backward)},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(activation_naive_backward)},
    {"backward_from_output", "cpu_simd", kFloats, CK_PER_ISA(activation_simd_backward_from_output),
     activation_has_from_output},
    {"backward_from_output", "cpu_naive", kFloats,
     CK_PER_ISA(activation_naive_backward_from_output), activation_has_from_output},
};

constexpr ParamField fields[] = {
    CK_CHOICE(ActivationParams, activation, kActivationNames),
    CK_FIELD(ActivationParams, alpha),
};

}  // namespace

extern const OpTable activation_table = {"activation", rows, fields, sizeof(ActivationParams)};

}  // namespace convkit
