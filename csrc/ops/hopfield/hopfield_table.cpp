// The kernels of hopfield, best first.
#include "core/checked.h"
#include "ops/hopfield/hopfield.h"

namespace convkit {
namespace {

#if CK_HAVE_BLAS
// The fields of all states, in the dtype of w.
int64_t fields_of(const Call& call, int states) {
  const int64_t bytes = kDtypeBytes[static_cast<int>(call[0].dtype)];
  return checked_product(call[states].shape[0], call[states].shape[1], bytes);
}
Workspace asynchronous_workspace(const Call& call) { return fields_of(call, 3); }
Workspace energy_workspace(const Call& call) { return fields_of(call, 2); }
#endif

constexpr Kernel rows[] = {
#if CK_HAVE_BLAS
    {"asynchronous", "cpu_blas", kFloats, CK_PER_ISA(hopfield_blas_asynchronous), nullptr,
     asynchronous_workspace},
    {"synchronous", "cpu_blas", kFloats, CK_PER_ISA(hopfield_blas_synchronous)},
    {"energy", "cpu_blas", kFloats, CK_PER_ISA(hopfield_blas_energy), nullptr, energy_workspace},
#endif
    {"asynchronous", "cpu_naive", kFloats, CK_PER_ISA(hopfield_naive_asynchronous)},
    {"synchronous", "cpu_naive", kFloats, CK_PER_ISA(hopfield_naive_synchronous)},
    {"energy", "cpu_naive", kFloats, CK_PER_ISA(hopfield_naive_energy)},
};

constexpr ParamField fields[] = {
    CK_FIELD(HopfieldParams, low),
    CK_FIELD(HopfieldParams, high),
};

}  // namespace

extern const OpTable hopfield_table = {"hopfield", rows, fields, sizeof(HopfieldParams)};

}  // namespace convkit
