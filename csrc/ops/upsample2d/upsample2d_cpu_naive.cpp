// upsample2d, the obvious loops.
#include "ops/upsample2d/upsample2d_axis.h"

namespace convkit::CK_ISA {

void upsample2d_naive_forward(const Call& call) {
  const Upsample2dParams& params = call.as<Upsample2dParams>();
  const Axis rows = rows_of(call[0], params), columns = columns_of(call[0], params);
  const int64_t N = call[0].shape[0], C = call[0].shape[3];
  const int64_t P = call[1].shape[1], Q = call[1].shape[2];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* y = call[1].as<T>();
    for (int64_t n = 0; n < N; ++n) {
      const T* x = call[0].as<T>() + n * rows.n * columns.n * C;
      for (int64_t p = 0; p < P; ++p) {
        const Tap<T> a = rows.tap<T>(p);
        for (int64_t q = 0; q < Q; ++q) {
          const Tap<T> b = columns.tap<T>(q);
          for (int64_t c = 0; c < C; ++c, ++y) {
            const auto at = [&](int64_t h, int64_t w) { return x[(h * columns.n + w) * C + c]; };
            *y = at(a.first, b.first);
            if (rows.bilinear) {
              *y = a.low * (b.low * at(a.first, b.first) + b.high * at(a.first, b.second)) +
                   a.high * (b.low * at(a.second, b.first) + b.high * at(a.second, b.second));
            }
          }
        }
      }
    }
  });
}

void upsample2d_naive_backward(const Call& call) {
  const Upsample2dParams& params = call.as<Upsample2dParams>();
  const Axis rows = rows_of(call[1], params), columns = columns_of(call[1], params);
  const int64_t N = call[1].shape[0], C = call[1].shape[3];
  const int64_t P = call[0].shape[1], Q = call[0].shape[2];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* dy = call[0].as<T>();
    for (int64_t i = 0; i < call[1].size(); ++i) call[1].as<T>()[i] = 0;
    for (int64_t n = 0; n < N; ++n) {
      T* dx = call[1].as<T>() + n * rows.n * columns.n * C;
      for (int64_t p = 0; p < P; ++p) {
        const Tap<T> a = rows.tap<T>(p);
        for (int64_t q = 0; q < Q; ++q) {
          const Tap<T> b = columns.tap<T>(q);
          for (int64_t c = 0; c < C; ++c, ++dy) {
            const auto at = [&](int64_t h, int64_t w) -> T& {
              return dx[(h * columns.n + w) * C + c];
            };
            at(a.first, b.first) += a.low * b.low * *dy;
            if (!rows.bilinear) continue;
            at(a.first, b.second) += a.low * b.high * *dy;
            at(a.second, b.first) += a.high * b.low * *dy;
            at(a.second, b.second) += a.high * b.high * *dy;
          }
        }
      }
    }
  });
}

}  // namespace convkit::CK_ISA
