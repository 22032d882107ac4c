// Products in register tiles that read their operands where they are, for weights that fit the
// second-level cache: packing, which large products need, costs small ones more than it brings.
#include "gemm/product.h"
#include "ops/activation/activation_through.h"
#include "ops/dense/dense.h"

namespace convkit::CK_ISA {
namespace {

// dx for columns [begin, end) of a few rows: the rows of w are read as they are, one dot product
// each. For so few, packing the transpose would take longer than the product.
constexpr int64_t kDotRows = 4;

template <class T>
void dot_products(const T* dy, const T* w, int64_t R, int64_t C, int64_t K, int64_t begin,
                  int64_t end, T* dx) {
  using V = Vec<T>;
  const int rest = static_cast<int>(K % V::kLanes);
  for (int64_t c = begin; c < end; ++c) {
    const T* const from = w + c * K;
    for (int64_t r = 0; r < R; ++r) {
      V sum = V::zero();
      int64_t k = 0;
      for (; k + V::kLanes <= K; k += V::kLanes) {
        sum = fma(V::loadu(dy + r * K + k), V::loadu(from + k), sum);
      }
      if (rest > 0) {
        sum = fma(V::load_partial(dy + r * K + k, rest), V::load_partial(from + k, rest), sum);
      }
      dx[r * C + c] = reduce_sum(sum);
    }
  }
}

}  // namespace

void dense_tiled_forward(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const y = call[3].as<T>();
    const Product<T> p{R, K, C, call[0].as<T>(), C, call[1].as<T>(), K, y, K, call[2].as<T>()};
    const ProductBlocks<T> blocks(p);
    call.pool->parallel_for(
        blocks.count(),
        [&](int64_t index, int) {
          product_block<T, true>(p, blocks, index, nullptr);
          const auto [m, rows, j, columns] = blocks.part(p, index);
          apply_bias_activation<T>(nullptr, static_cast<Activation>(params.activation),
                                   params.alpha, y + m * K + j, rows, columns, K);
        },
        max_threads(p.M, p.N, p.depth));
  });
}

void dense_tiled_backward_input(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Product<T> p{R, C, K, call[0].as<T>(), K, nullptr, 0, call[3].as<T>(), C};
    const Through<T> through(call.as<DenseParams>(), call[2], call[3]);
    if (R <= kDotRows) {
      const Chunks columns{C, 256};
      return call.pool->parallel_for(
          columns.count(),
          [&](int64_t chunk, int) {
            const int64_t begin = columns.begin(chunk), end = columns.end(chunk);
            dot_products(p.a, call[1].as<T>(), R, C, K, begin, end, p.c);
            through(begin, R, end - begin, C);
          },
          max_threads(p.M, p.N, p.depth));
    }
    const Panels<T> panels{K, C};
    T* const packed = reinterpret_cast<T*>(call.workspace);
    call.pool->parallel_for(
        panels.count(),
        [&](int64_t panel, int) { panels.pack_transposed(panel, 0, K, call[1].as<T>(), packed); },
        max_threads(p.M, p.N, p.depth));
    const ProductBlocks<T> blocks(p);
    call.pool->parallel_for(
        blocks.count(),
        [&](int64_t index, int) {
          product_block<T, true>(p, blocks, index, packed);
          const auto [m, rows, j, columns] = blocks.part(p, index);
          through(m * C + j, rows, columns, C);
        },
        max_threads(p.M, p.N, p.depth));
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
          for (int64_t k = begin; k < end; ++k) db[k] = 0;
          for (int64_t r = 0; r < R; ++r) {
            const T* const dy = call[0].as<T>() + r * K;
            for (int64_t k = begin; k < end; ++k) db[k] += dy[k];
          }
        },
        max_threads(R, K, 1));
  });
}

}  // namespace convkit::CK_ISA
