// gather_rows: assembles and scales a batch from a data set.
//
//   forward  source [M,...], index [L] int64 or absent -> y [N,...]
//
//   y[i] = source[index[sample + i]] * scale + offset, with sample from the step block
//
// source: uint8, int32, int64, float32, float64. y: float32, float64, or int32 (labels; scale 1,
// offset 0). Without an index the rows come in order. The arithmetic is y's own (int64 and int32
// sources become y's type first). Indices were checked at the edge.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct GatherRowsParams {
  double scale;
  double offset;
};

CK_DECLARE_KERNEL(gather_rows_naive)
CK_DECLARE_KERNEL(gather_rows_simd)

}  // namespace convkit
