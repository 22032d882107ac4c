// The kernels of domain_distance, best first.
#include "ops/domain_distance/domain_distance.h"

namespace convkit {
namespace {

// In double: all rows; the covariances' difference or the kernels of all pairs; a sum for each row
// of that.
Workspace workspace(const Call& call) {
  const int64_t d = call[0].last(), rows = call[0].rows() + call[1].rows();
  const bool coral = call.as<DomainDistanceParams>().kind == 0;
  const int64_t side = coral ? d : rows;
  return (rows * d + side * side + side) * int64_t{sizeof(double)};
}

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kFloats, CK_PER_ISA(domain_distance_simd_forward), nullptr, workspace},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(domain_distance_naive_forward), nullptr,
     workspace},
    {"backward", "cpu_simd", kFloats, CK_PER_ISA(domain_distance_simd_backward), nullptr,
     workspace},
    {"backward", "cpu_naive", kFloats, CK_PER_ISA(domain_distance_naive_backward), nullptr,
     workspace},
};

constexpr ParamField fields[] = {
    CK_CHOICE(DomainDistanceParams, kind, kDomainDistanceKinds),
    CK_FIELD(DomainDistanceParams, kernels),
    CK_FIELD(DomainDistanceParams, width),
    CK_FIELD(DomainDistanceParams, scale),
};

}  // namespace

extern const OpTable domain_distance_table = {"domain_distance", rows, fields,
                                              sizeof(DomainDistanceParams)};

}  // namespace convkit
