// The passes of dense as products of matrices, whatever their main loop: cuda/gemm.cuh or
// cuda/mma.cuh.
#pragma once

#include "cuda/matrix_loaders.cuh"
#include "ops/dense/dense_cuda_products.h"

namespace convkit::cuda {

using enum DensePass;

template <DensePass pass>
ProductSize size_of(const convkit::Call& call) {
  if constexpr (pass == forward) return {call[0].rows(), call[1].shape[1], call[1].shape[0]};
  if constexpr (pass == backward_input) return {call[0].rows(), call[1].shape[0], call[1].shape[1]};
  return {call[2].shape[0] + 1, call[2].shape[1], call[0].rows()};  // db is the row behind dw
}

// Whether numbers come in fours, without which there are no registers for large tiles.
inline bool in_fours(DensePass pass, const ProductSize& s) {
  if (pass == backward_weight) return s.columns % 4 == 0 && s.rows % 4 == 1;
  return s.terms % 4 == 0 && (pass == backward_input || s.columns % 4 == 0);
}

template <class Shape, bool fours>
void run_forward(const Call& call, const ProductSize& s) {
  const DenseParams& params = call.as<DenseParams>();
  ProductOutput out;
  out.c = call[3].as<float>();
  out.bias = call[2].as<float>();
  out.rows_of_c = static_cast<int>(s.rows);
  out.activation = static_cast<Activation>(params.activation);
  out.alpha = static_cast<float>(params.alpha);
  out.by_four = aligned(out.c);
  launch_product<Shape>(call, s, RowsAlongTerms<fours>(call[0].as<float>(), s.rows, s.terms),
                        RowsOfTerms<fours>(call[1].as<float>(), s.columns), out);
}

template <class Shape, bool fours>
void run_backward_input(const Call& call, const ProductSize& s) {
  const DenseParams& params = call.as<DenseParams>();
  ProductOutput out;
  out.c = call[3].as<float>();
  out.x = call[2].as<float>();
  out.rows_of_c = static_cast<int>(s.rows);
  out.through = static_cast<Activation>(params.through);
  out.through_alpha = static_cast<float>(params.through_alpha);
  out.by_four = aligned(out.c);
  launch_product<Shape>(call, s, RowsAlongTerms<fours>(call[0].as<float>(), s.rows, s.terms),
                        RowsAlongTerms<fours>(call[1].as<float>(), s.columns, s.terms), out);
}

template <class Shape, bool fours>
void run_backward_weight(const Call& call, const ProductSize& s) {
  ProductOutput out;
  out.c = call[2].as<float>();
  out.last_row = call[3].as<float>();
  out.rows_of_c = static_cast<int>(s.rows) - 1;
  out.by_four = aligned(out.c) && aligned(out.last_row);
  launch_product<Shape>(call, s, RowsOfTerms<fours, true>(call[1].as<float>(), s.rows - 1),
                        RowsOfTerms<fours>(call[0].as<float>(), s.columns), out);
}

// Tiles: of cuda/product_plan.cuh or of cuda/mma.cuh.
template <DensePass pass, class Tiles>
void dense_product(const Call& call) {
  if constexpr (Tiles::kFours)
    if (!aligned(call)) return dense_product<pass, SmallTiles>(call);
  const ProductSize s = size_of<pass>(call);
  Tiles::with(s.columns, [&](auto tile) {
    using Shape = decltype(tile);
    if constexpr (pass == forward) run_forward<Shape, Tiles::kFours>(call, s);
    if constexpr (pass == backward_input) run_backward_input<Shape, Tiles::kFours>(call, s);
    if constexpr (pass == backward_weight) run_backward_weight<Shape, Tiles::kFours>(call, s);
  });
}

template <DensePass pass, class Tiles>
bool dense_product_supports(const convkit::Call& call) {
  const ProductSize s = size_of<pass>(call);
  return Tiles::available() && product_fits(s) && (!Tiles::kFours || in_fours(pass, s));
}

template <DensePass pass, class Tiles>
Workspace dense_product_workspace(const convkit::Call& call) {
  return product_workspace<Tiles>(size_of<pass>(call));
}

#define CK_INSTANTIATE(pass, Tiles)                                        \
  template void dense_product<pass, Tiles>(const Call&);                   \
  template bool dense_product_supports<pass, Tiles>(const convkit::Call&); \
  template Workspace dense_product_workspace<pass, Tiles>(const convkit::Call&);
#define CK_INSTANTIATE_ALL(Tiles)                  \
  CK_INSTANTIATE(DensePass::forward, Tiles)        \
  CK_INSTANTIATE(DensePass::backward_input, Tiles) \
  CK_INSTANTIATE(DensePass::backward_weight, Tiles)

}  // namespace convkit::cuda
