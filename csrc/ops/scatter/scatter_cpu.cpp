#include "ops/scatter/scatter.h"

namespace convkit::CK_ISA {

// Weights of some thousand connections: there is nothing to gain by threads or vectors.
void scatter_naive_forward(const Call& call) {
  const int64_t rows = call[0].rows(), M = call[0].last(), L = call[2].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* v = call[0].as<T>();
    const int32_t* index = call[1].as<int32_t>();
    T* y = call[2].as<T>();
    for (int64_t r = 0; r < rows; ++r, v += M, y += L) {
      for (int64_t i = 0; i < L; ++i) y[i] = 0;
      for (int64_t m = 0; m < M; ++m) y[index[m]] = v[m];
    }
  });
}

void scatter_naive_backward(const Call& call) {
  const int64_t rows = call[0].rows(), L = call[0].last(), M = call[2].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* dy = call[0].as<T>();
    const int32_t* index = call[1].as<int32_t>();
    T* dv = call[2].as<T>();
    for (int64_t r = 0; r < rows; ++r, dy += L, dv += M) {
      for (int64_t m = 0; m < M; ++m) dv[m] = dy[index[m]];
    }
  });
}

}  // namespace convkit::CK_ISA
