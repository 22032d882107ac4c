// embedding: rows of a table, looked up by their numbers.
//
//   forward   index [...], table [V,E] -> y [...,E]     y[i] = table[index[i]]
//   backward  index [...], dy [...,E] -> dtable [V,E]   dtable[v] = sum of dy where index = v
//
// index: any dtype that holds whole numbers. Where it is negative, V or more, or no whole number, y
// is NaN, and backward passes over it. Backward adds in the order of the positions, from zero;
// on a GPU in an order that depends on shapes and indices alone.
#pragma once

#include "core/kernel.h"

namespace convkit {

struct EmbeddingParams {};

CK_DECLARE_KERNEL(embedding_naive_forward)
CK_DECLARE_KERNEL(embedding_naive_backward)
CK_DECLARE_KERNEL(embedding_rows_forward)
CK_DECLARE_KERNEL(embedding_rows_backward)

}  // namespace convkit
