// The scratch memory of gemm/shared_product.h, which tables of kernels plan with.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace convkit {

// Of a block of results, at most.
constexpr int64_t kSharedColumns = 128, kSharedRows = 640;

// Values that a thread needs for products of M rows.
CK_INLINE int64_t shared_scratch(int64_t M) {
  return (M < kSharedRows ? M : kSharedRows) * kSharedColumns;
}

}  // namespace convkit
