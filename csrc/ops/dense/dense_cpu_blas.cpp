// One matrix product per pass, cut into blocks of the output, with bias and activation on the block
// while it is in the cache.
#include "gemm/blas.h"
#include "gemm/column_sums.h"
#include "ops/activation/activation_through.h"
#include "ops/dense/dense.h"

#if CK_HAVE_BLAS

namespace convkit::CK_ISA {
namespace {

// A product of M rows and N columns over a sum of K terms, cut along M or N. Each block packs the
// whole other operand again, so there are few.
struct Blocks {
  bool by_row;
  Chunks chunks;

  CK_INLINE Blocks(int64_t M, int64_t N, int64_t K) : by_row(M >= N), chunks{by_row ? M : N, 1} {
    const double flops =
        2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
    const int64_t parts = flops < 2e5 ? 1 : flops < 4e6 ? 2 : flops < 32e6 ? 4 : 16;
    const int64_t size = round_up(ceil_div(chunks.n, parts), 16);
    chunks.size = size > 0 ? size : 16;
  }
};

}  // namespace

void dense_blas_forward(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const auto kind = static_cast<Activation>(params.activation);
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  const Blocks blocks(R, K, C);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[0].as<T>();
    const T* const w = call[1].as<T>();
    const T* const b = call[2].as<T>();
    T* const y = call[3].as<T>();
    call.pool->parallel_for(blocks.chunks.count(), [&](int64_t chunk, int) {
      const int64_t begin = blocks.chunks.begin(chunk), n = blocks.chunks.end(chunk) - begin;
      if (blocks.by_row) {
        gemm(false, false, n, K, C, T(1), x + begin * C, C, w, K, T(0), y + begin * K, K);
        apply_bias_activation(b, kind, params.alpha, y + begin * K, n, K, K);
      } else {
        gemm(false, false, R, n, C, T(1), x, C, w + begin, K, T(0), y + begin, K);
        apply_bias_activation(b != nullptr ? b + begin : b, kind, params.alpha, y + begin, R, n, K);
      }
    });
  });
}

void dense_blas_backward_input(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  const Blocks blocks(R, C, K);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const w = call[1].as<T>();
    T* const dx = call[3].as<T>();
    const Through<T> through(call.as<DenseParams>(), call[2], call[3]);
    call.pool->parallel_for(blocks.chunks.count(), [&](int64_t chunk, int) {
      const int64_t begin = blocks.chunks.begin(chunk), n = blocks.chunks.end(chunk) - begin;
      if (blocks.by_row) {
        gemm(false, true, n, C, K, T(1), dy + begin * K, K, w, K, T(0), dx + begin * C, C);
        through(begin * C, n * C);
      } else {
        gemm(false, true, R, n, K, T(1), dy, K, w + begin * K, K, T(0), dx + begin, C);
        through(begin, R, n, C);
      }
    });
  });
}

void dense_blas_backward_weight(const Call& call) {
  const int64_t R = call[0].rows(), C = call[2].shape[0], K = call[2].shape[1];
  const Blocks blocks(C, K, R);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const x = call[1].as<T>();
    T* const dw = call[2].as<T>();
    T* const db = call[3].as<T>();
    const int64_t count = blocks.chunks.count();
    // The bias gradient goes with the first block, or is the first block's neighbour.
    const int64_t extra = db != nullptr && count != 1 ? 1 : 0;
    call.pool->parallel_for(count + extra, [&](int64_t task, int) {
      if (task == 0 && db != nullptr) column_sums(dy, R, K, db);
      const int64_t chunk = task - extra;
      if (chunk < 0) return;
      const int64_t begin = blocks.chunks.begin(chunk), n = blocks.chunks.end(chunk) - begin;
      if (blocks.by_row) {
        gemm(true, false, n, K, R, T(1), x + begin, C, dy, K, T(0), dw + begin * K, K);
      } else {
        gemm(true, false, C, n, R, T(1), x, C, dy + begin, K, T(0), dw + begin, K);
      }
    });
  });
}

}  // namespace convkit::CK_ISA

#endif  // CK_HAVE_BLAS
