// The kernels of dense_update, best first.
#include "core/checked.h"
#include "ops/dense_update/dense_update.h"
#include "ops/update/update_fields.h"

namespace convkit {
namespace {

Workspace tiled_workspace(const Call& call) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(call[0].dtype)];
  const DenseUpdatePlan plan(call[0].rows(), call[1].last(), call[0].last(), bytes);
  return {0, plan.slots(), checked_product(plan.scratch, bytes)};
}
// The gradient.
Workspace naive_workspace(const Call& call) { return call[call.count - 1].bytes(); }

constexpr Kernel rows[] = {
    {"sgd", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_sgd), nullptr, tiled_workspace},
    {"sgd", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_sgd), nullptr, naive_workspace},
    {"adagrad", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_adagrad), nullptr,
     tiled_workspace},
    {"adagrad", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_adagrad), nullptr,
     naive_workspace},
    {"adadelta", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_adadelta), nullptr,
     tiled_workspace},
    {"adadelta", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_adadelta), nullptr,
     naive_workspace},
    {"rmsprop", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_rmsprop), nullptr,
     tiled_workspace},
    {"rmsprop", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_rmsprop), nullptr,
     naive_workspace},
    {"adam", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_adam), nullptr, tiled_workspace},
    {"adam", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_adam), nullptr, naive_workspace},
    {"nadam", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_nadam), nullptr, tiled_workspace},
    {"nadam", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_nadam), nullptr, naive_workspace},
    {"adamax", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_adamax), nullptr,
     tiled_workspace},
    {"adamax", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_adamax), nullptr,
     naive_workspace},
    {"lion", "cpu_tiled", kFloats, CK_PER_ISA(dense_update_tiled_lion), nullptr, tiled_workspace},
    {"lion", "cpu_naive", kFloats, CK_PER_ISA(dense_update_naive_lion), nullptr, naive_workspace},
};

}  // namespace

extern const OpTable dense_update_table = {"dense_update", rows, kUpdateFields,
                                           sizeof(DenseUpdateParams)};

}  // namespace convkit
