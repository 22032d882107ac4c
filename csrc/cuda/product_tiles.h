// The tiles that rows of products of matrices differ by, for tables, which need their names alone:
// cuda/product_plan.cuh and cuda/mma.cuh define them.
#pragma once

namespace convkit::cuda {

struct LargeTiles;
struct SmallTiles;
template <class Numbers>
struct MmaTiles;
struct Tf32;
struct Bf16;

}  // namespace convkit::cuda
