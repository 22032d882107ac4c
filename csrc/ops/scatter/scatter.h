// scatter: values to given places of the last axis, zeros elsewhere; the leading axes are rows.
//
//   forward   v [...,M], index [M] int32  -> y [...,size]:  y[..., index[m]] = v[..., m], else 0
//   backward  dy [...,size], index [M]    -> dv [...,M]:    dv[..., m] = dy[..., index[m]]
//
// The places are different ones, in [0, size).
#pragma once

#include "core/kernel.h"

namespace convkit {

struct ScatterParams {
  int64_t size;  // of the last axis of y
};

CK_DECLARE_KERNEL(scatter_naive_forward)
CK_DECLARE_KERNEL(scatter_naive_backward)

}  // namespace convkit
