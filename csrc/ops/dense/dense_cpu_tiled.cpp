// Products in register tiles, for weights of any size: what is reused is packed on the way, in
// pieces that stay in the cache.
#include "gemm/dot_products.h"
#include "gemm/product.h"
#include "ops/activation/activation_apply.h"
#include "ops/dense/dense.h"

namespace convkit::CK_ISA {
namespace {

// One tile of rows: w is read once, a few of its rows at a time, so that the columns of a block
// make long runs.
CK_INLINE BlockSizes forward_blocks(int64_t R, int most_rows) {
  if (R <= most_rows) return {most_rows, 16, 8};
  if (R <= 16) return {16, 16, 32};
  return {128, 8, 64};
}

}  // namespace

void dense_tiled_forward(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const y = call[3].as<T>();
    const Product<T> p{R, K, C, call[0].as<T>(), C, call[1].as<T>(), K, y, K, call[2].as<T>()};
    const ProductBlocks<T> blocks(R, K, C, forward_blocks(R, tile_rows<T>(kTileVectors<T>)));
    call.pool->parallel_for(
        blocks.count(),
        [&](int64_t index, int) {
          product_block<T, true>(p, blocks, index);
          const int64_t r = blocks.first_row(index);
          const int64_t j = blocks.panels.first(blocks.first_panel(index));
          const int64_t end = blocks.panels.first(blocks.end_panel(index));
          apply_bias_activation<T>(nullptr, static_cast<Activation>(params.activation),
                                   params.alpha, y + r * K + j, blocks.end_row(index) - r,
                                   (end < K ? end : K) - j, K);
        },
        max_threads(R, K, C));
  });
}

void dense_tiled_backward_input(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const DotProduct<T> p{C, R, K, call[1].as<T>(), K, call[0].as<T>(), K, call[2].as<T>(), C};
    dot_product(call.pool, p, reinterpret_cast<T*>(call.workspace));
  });
}

void dense_tiled_backward_weight(const Call& call) {
  const int64_t R = call[0].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const TransposedProduct<T> product{
        C, K, R, call[1].as<T>(), C, call[0].as<T>(), K, call[2].as<T>(), K, call[3].as<T>()};
    transposed_product(call.pool, product);
  });
}

}  // namespace convkit::CK_ISA
