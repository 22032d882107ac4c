// Products in register tiles, for weights of any size: what is reused is packed on the way, in
// pieces that stay in the cache.
#include "gemm/dot_products.h"
#include "gemm/transposed_product.h"
#include "ops/activation/activation_through.h"
#include "ops/dense/dense.h"

namespace convkit::CK_ISA {
namespace {

// One tile of rows: w is read once, a few of its rows at a time, so that the columns of a block
// make long runs, of 2 KB where there are as many.
template <class T>
CK_INLINE BlockSizes forward_blocks(int64_t R, int64_t K) {
  constexpr int64_t most_rows = product_tile_rows<T>(kTileVectors<T>);
  const int64_t runs = ceil_div(K * int64_t{sizeof(T)}, 2048);
  if (R <= most_rows) return {most_rows, 16, 8, false, runs < 1 ? 1 : runs < 4 ? runs : 4};
  if (R <= 16) return {16, 16, 32};
  return {128, 8, 128};
}

}  // namespace

void dense_tiled_forward(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const y = call[3].as<T>();
    const Product<T> p{R, K, C, call[0].as<T>(), C, call[1].as<T>(), K, y, K, call[2].as<T>()};
    const ProductBlocks<T> blocks(R, K, C, forward_blocks<T>(R, K));
    call.pool->parallel_for(
        blocks.count(),
        [&](int64_t index, int) {
          product_block<T, true>(p, blocks, index);
          const auto at = blocks.part(index);
          apply_bias_activation<T>(nullptr, static_cast<Activation>(params.activation),
                                   params.alpha, y + at.m * K + at.j, at.rows, at.columns, K);
        },
        max_threads<T>(R, K, C));
  });
}

void dense_tiled_backward_input(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Through<T> through(call.as<DenseParams>(), call[2], call[3]);
    const DotProduct<T> p{C, R, K, call[1].as<T>(), K, call[0].as<T>(), K, call[3].as<T>(), C};
    dot_product(call.pool, p, reinterpret_cast<T*>(call.workspace),
                [&](int64_t r, int64_t rows, int64_t c, int64_t columns) {
                  through(r * C + c, rows, columns, C);
                });
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

// The rows in their order, as backward_weight adds them up while it packs them.
void dense_tiled_backward_bias(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const db = call[1].as<T>();
    const Chunks columns{K, 512};
    call.pool->parallel_for(
        columns.count(),
        [&](int64_t chunk, int) {
          const int64_t begin = columns.begin(chunk), end = columns.end(chunk);
          sum_rows(call[0].as<T>() + begin, R, K, end - begin, db + begin);
        },
        max_threads<T>(R, K, 1));
  });
}

}  // namespace convkit::CK_ISA
