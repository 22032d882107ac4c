// The kernels of gather_rows, best first.
#include "ops/gather_rows/gather_rows.h"

namespace convkit {
namespace {

constexpr unsigned kSources = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);

constexpr Kernel rows[] = {
    {"forward", "cpu_simd", kSources, CK_PER_ISA(gather_rows_simd)},
    {"forward", "cpu_naive", kSources, CK_PER_ISA(gather_rows_naive)},
};

constexpr ParamField fields[] = {
    CK_FIELD(GatherRowsParams, scale),
    CK_FIELD(GatherRowsParams, offset),
};

}  // namespace

extern const OpTable gather_rows_table = {"gather_rows", rows, fields, sizeof(GatherRowsParams)};

}  // namespace convkit
