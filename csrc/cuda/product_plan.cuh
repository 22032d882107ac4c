// How a matrix product is cut into tiles and parts, which depends on its shape alone, and its
// launch.
#pragma once

#include "cuda/gemm.cuh"
#include "cuda/split_sums.cuh"

namespace convkit::cuda {

struct ProductSize {
  int64_t rows, columns, terms;  // of each group
  int64_t groups = 1;
};

// Multiprocessors that parts are cut for, whatever a GPU has.
constexpr int64_t kPlannedMultiprocessors = 132;
// Terms of a part, at least; to split a sum costs a kernel, so it must be long where there are
// tiles for every other multiprocessor.
constexpr int64_t kLeastPart = 128, kLeastPartOfMany = 1024;

template <class Shape>
struct ProductPlan {
  int64_t down, across;  // tiles
  Splits splits;

  explicit ProductPlan(const ProductSize& s)
      : down(ceil_div(s.rows, Shape::kHeight)), across(ceil_div(s.columns, Shape::kWidth)) {
    const int64_t tiles = checked_product(down, across, s.groups);
    const int64_t wanted = kPlannedMultiprocessors * Shape::kMinBlocks;
    const int64_t least = 2 * tiles < kPlannedMultiprocessors ? kLeastPart : kLeastPartOfMany;
    splits = Splits::of(s.terms, tiles > 0 ? wanted / tiles : 1, least, Shape::kDepth);
  }
  int64_t workspace_bytes(const ProductSize& s) const {
    return splits.workspace_bytes(checked_product(s.rows, s.columns, s.groups), sizeof(float));
  }
};

// Whether indices are of 32 bits and the grid within its limits.
inline bool product_fits(const ProductSize& s) {
  constexpr int64_t kMost = int64_t{1} << 30;
  return s.rows < kMost && s.columns < kMost && s.terms < kMost && s.groups <= 65535 &&
         checked_product(ceil_div(s.rows, 64), ceil_div(s.columns, 16)) < kMost;
}

template <class Shape, class A, class B>
void launch_product(const Call& call, const ProductSize& s, const A& a, const B& b,
                    ProductOutput out) {
  if (s.rows == 0 || s.columns == 0 || s.groups == 0) return;
  using Kernel = typename Shape::template Kernel<A, B>;
  const ProductPlan<Shape> plan(s);
  out.rows = static_cast<int>(s.rows);
  out.columns = static_cast<int>(s.columns);
  out.pitch = s.groups * s.columns;
  out.parts = reinterpret_cast<float*>(call.workspace);
  out.by_four = out.by_four && s.columns % 4 == 0;
  const auto count = static_cast<unsigned>(plan.splits.count);
  launch(
      call,
      dim3(static_cast<unsigned>(plan.down * plan.across), static_cast<unsigned>(s.groups), count),
      Kernel{a,
             b,
             out,
             {static_cast<int>(s.terms), static_cast<int>(plan.splits.length),
              static_cast<int>(count), static_cast<int>(plan.across)}},
      Kernel::kDynamicShared);
  if (count > 1) add_parts<float>(call, count, s.rows * out.pitch, out);
}

// The tiles of a row in fused multiply-adds: large ones, for operands that are read in fours, or
// else those that suit few columns and few tiles.
struct LargeTiles {
  static constexpr bool kFours = true;
  static bool available() { return true; }
  template <class F>
  static auto with(int64_t /*columns*/, const F& f) {
    return f(LargeTile{});
  }
};
struct SmallTiles {
  static constexpr bool kFours = false;
  static bool available() { return true; }
  template <class F>
  static auto with(int64_t columns, const F& f) {
    return columns <= NarrowTile::kWidth ? f(NarrowTile{}) : f(MediumTile{});
  }
};

// Of a row; where operands lie at odd addresses, one for large tiles runs with small ones.
template <class Tiles>
int64_t product_workspace(const ProductSize& s) {
  const int64_t bytes = Tiles::with(
      s.columns, [&](auto tile) { return ProductPlan<decltype(tile)>(s).workspace_bytes(s); });
  if constexpr (!Tiles::kFours) return bytes;
  const int64_t others = Tiles::kFours ? product_workspace<SmallTiles>(s) : 0;
  return bytes > others ? bytes : others;
}

// Whether four numbers can be read or written at a time, where they come in fours.
inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }
inline bool aligned(const Call& call) {
  for (int i = 0; i < call.count; ++i)
    if (!aligned(call[i].data)) return false;
  return true;
}

}  // namespace convkit::cuda
