// The matrix product of the vendored OpenBLAS, on the calling thread.
#pragma once

#include <cstdint>
#include <string>

namespace convkit {

// C = alpha * op(A) * op(B) + beta * C, row-major, with op(A) [M,K], op(B) [K,N], C [M,N] and op
// the transpose where trans_a, trans_b say so; ld is the distance of two rows as stored.
// beta == 0 overwrites C without reading it. Threads may call it at the same time.
template <class T>
void gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, T alpha, const T* A,
          int64_t lda, const T* B, int64_t ldb, T beta, T* C, int64_t ldc);

// The build and the processor that OpenBLAS chose its kernels for, or that there is no BLAS.
std::string blas_info();

}  // namespace convkit
