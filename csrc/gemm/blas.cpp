#include "gemm/blas.h"

#include <algorithm>
#include <limits>
#include <mutex>

#if CK_HAVE_BLAS
#include <cblas.h>
#endif

namespace convkit {

#if CK_HAVE_BLAS
namespace {

constexpr int64_t kMaxBlasInt = std::numeric_limits<blasint>::max();

// The library would start its own threads beside ours.
void use_one_thread() {
  static std::once_flag once;
  std::call_once(once, [] { scipy_openblas_set_num_threads(1); });
}

blasint narrow(int64_t n) { return static_cast<blasint>(std::min(n, kMaxBlasInt)); }

template <class T>
void scale(int64_t M, int64_t N, T beta, T* C, int64_t ldc) {
  for (int64_t i = 0; i < M; ++i) {
    for (int64_t j = 0; j < N; ++j) C[i * ldc + j] = beta == 0 ? T(0) : beta * C[i * ldc + j];
  }
}

void call(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k, float alpha,
          const float* a, blasint lda, const float* b, blasint ldb, float beta, float* c,
          blasint ldc) {
  scipy_cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void call(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k, double alpha,
          const double* a, blasint lda, const double* b, blasint ldb, double beta, double* c,
          blasint ldc) {
  scipy_cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

}  // namespace

template <class T>
void gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, T alpha, const T* A,
          int64_t lda, const T* B, int64_t ldb, T beta, T* C, int64_t ldc) {
  if (M <= 0 || N <= 0) return;
  if (K <= 0 || alpha == 0) return scale(M, N, beta, C, ldc);

  // Halves whatever does not fit OpenBLAS's 32-bit integers. A distance of rows that does not fit
  // stops mattering once one row is left.
  const auto too_long = [](int64_t n, bool strided) {
    return n > kMaxBlasInt || (n > 1 && strided);
  };
  const bool wide_a = lda > kMaxBlasInt;
  const bool wide_b = ldb > kMaxBlasInt;
  if (too_long(M, ldc > kMaxBlasInt || (wide_a && !trans_a))) {
    const int64_t h = M / 2;
    gemm(trans_a, trans_b, h, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    A += trans_a ? h : h * lda;
    return gemm(trans_a, trans_b, M - h, N, K, alpha, A, lda, B, ldb, beta, C + h * ldc, ldc);
  }
  if (too_long(N, wide_b && trans_b)) {
    const int64_t h = N / 2;
    gemm(trans_a, trans_b, M, h, K, alpha, A, lda, B, ldb, beta, C, ldc);
    B += trans_b ? h * ldb : h;
    return gemm(trans_a, trans_b, M, N - h, K, alpha, A, lda, B, ldb, beta, C + h, ldc);
  }
  if (too_long(K, (wide_a && trans_a) || (wide_b && !trans_b))) {
    const int64_t h = K / 2;
    gemm(trans_a, trans_b, M, N, h, alpha, A, lda, B, ldb, beta, C, ldc);
    A += trans_a ? h * lda : h;
    B += trans_b ? h : h * ldb;
    return gemm(trans_a, trans_b, M, N, K - h, alpha, A, lda, B, ldb, T(1), C, ldc);
  }

  use_one_thread();
  call(trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, narrow(M),
       narrow(N), narrow(K), alpha, A, narrow(lda), B, narrow(ldb), beta, C, narrow(ldc));
}

template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t,
                   const float*, int64_t, float, float*, int64_t);
template void gemm(bool, bool, int64_t, int64_t, int64_t, double, const double*, int64_t,
                   const double*, int64_t, double, double*, int64_t);

std::string blas_info() {
  use_one_thread();
  return std::string(scipy_openblas_get_config()) + ", runs kernels for " +
         scipy_openblas_get_corename();
}

#else

std::string blas_info() { return "none: built with CONVKIT_BLAS=OFF"; }

#endif

}  // namespace convkit
