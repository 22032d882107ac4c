// mask: which steps of sequences count, and what to do with those that do not.
//
// A mask is uint8 [N,T], not 0 for a step that counts.
//
//   find      x [N,T,...] -> mask     1 where some value of the step is not `value`; compared in
//                                     float32, so that 0.1 is the same number everywhere
//   reverse   mask -> mask            in the opposite order of time
//   weight    mask, weight [N,T,...]? -> y [N,T,...]
//                                     weight (1 if absent) where the mask counts, else 0; with
//                                     mean = 1 times N T over the number of steps that count, so
//                                     that a sum divided by N T becomes their mean
//   forward   x [N,T,...], mask -> y  x where the mask counts, else 0
//   backward  dy, mask -> dx          the same
#pragma once

#include "core/kernel.h"

namespace convkit {

struct MaskParams {
  double value;  // of find
  int64_t mean;  // of weight
};

CK_DECLARE_KERNEL(mask_find)
CK_DECLARE_KERNEL(mask_reverse)
CK_DECLARE_KERNEL(mask_weight)
CK_DECLARE_KERNEL(mask_naive_apply)
CK_DECLARE_KERNEL(mask_steps_apply)

}  // namespace convkit
