// The kernels of update, best first.
#include "ops/update/update_fields.h"

namespace convkit {
namespace {

// A sum for each chunk of each operand.
Workspace global_norm_workspace(const Call& call) {
  int64_t chunks = 0;
  for (int i = 0; i + 1 < call.count; ++i) chunks += ceil_div(call[i].size(), kUpdateChunk);
  return chunks * int64_t{sizeof(double)};
}

constexpr Kernel rows[] = {
    {"sgd", "cpu_simd", kFloats, CK_PER_ISA(update_simd_sgd)},
    {"sgd", "cpu_naive", kFloats, CK_PER_ISA(update_naive_sgd)},
    {"adagrad", "cpu_simd", kFloats, CK_PER_ISA(update_simd_adagrad)},
    {"adagrad", "cpu_naive", kFloats, CK_PER_ISA(update_naive_adagrad)},
    {"adadelta", "cpu_simd", kFloats, CK_PER_ISA(update_simd_adadelta)},
    {"adadelta", "cpu_naive", kFloats, CK_PER_ISA(update_naive_adadelta)},
    {"rmsprop", "cpu_simd", kFloats, CK_PER_ISA(update_simd_rmsprop)},
    {"rmsprop", "cpu_naive", kFloats, CK_PER_ISA(update_naive_rmsprop)},
    {"adam", "cpu_simd", kFloats, CK_PER_ISA(update_simd_adam)},
    {"adam", "cpu_naive", kFloats, CK_PER_ISA(update_naive_adam)},
    {"nadam", "cpu_simd", kFloats, CK_PER_ISA(update_simd_nadam)},
    {"nadam", "cpu_naive", kFloats, CK_PER_ISA(update_naive_nadam)},
    {"adamax", "cpu_simd", kFloats, CK_PER_ISA(update_simd_adamax)},
    {"adamax", "cpu_naive", kFloats, CK_PER_ISA(update_naive_adamax)},
    {"lion", "cpu_simd", kFloats, CK_PER_ISA(update_simd_lion)},
    {"lion", "cpu_naive", kFloats, CK_PER_ISA(update_naive_lion)},
    {"global_norm", "cpu_simd", kFloats, CK_PER_ISA(update_simd_global_norm), nullptr,
     global_norm_workspace},
    {"global_norm", "cpu_naive", kFloats, CK_PER_ISA(update_naive_global_norm)},
    {"clip_norm", "cpu_simd", kFloats, CK_PER_ISA(update_simd_clip_norm)},
    {"clip_norm", "cpu_naive", kFloats, CK_PER_ISA(update_naive_clip_norm)},
};

}  // namespace

extern const OpTable update_table = {"update", rows, kUpdateFields, sizeof(UpdateParams)};

}  // namespace convkit
