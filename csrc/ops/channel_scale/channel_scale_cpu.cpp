#include "ops/channel_scale/channel_scale.h"
#include "simd/long_rows.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
CK_INLINE T value_or(const Tensor& t, int64_t k, T absent) {
  return t.present() ? t.as<T>()[k] : absent;
}

// A parameter repeated to the length of a long row.
template <class T>
void widen_from(const LongRows& rows, const Tensor& t, T absent, T* wide) {
  for (int64_t k = 0; k < rows.c; ++k) wide[k] = value_or(t, k, absent);
  widen(rows, wide);
}

}  // namespace

void channel_scale_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* x = call[0].as<T>();
    T* y = call[3].as<T>();
    for (int64_t i = 0; i < call[0].size(); ++i) {
      const int64_t k = i % call[0].last();
      y[i] = x[i] * value_or(call[1], k, T(1)) + value_or(call[2], k, T(0));
    }
  });
}

void channel_scale_naive_backward_input(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* dy = call[0].as<T>();
    const T* w = call[1].as<T>();
    T* dx = call[2].as<T>();
    for (int64_t i = 0; i < call[0].size(); ++i) dx[i] = dy[i] * w[i % call[0].last()];
  });
}

void channel_scale_naive_backward_weight(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* dy = call[0].as<T>();
    const T* x = call[1].as<T>();
    const int64_t c = call[0].last();
    for (int64_t k = 0; k < c; ++k) {
      T dw = 0, db = 0;
      for (int64_t i = k; i < call[0].size(); i += c) {
        if (call[2].present()) dw += dy[i] * x[i];
        db += dy[i];
      }
      if (call[2].present()) call[2].as<T>()[k] = dw;
      if (call[3].present()) call[3].as<T>()[k] = db;
    }
  });
}

void channel_scale_simd_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[0].as<T>();
    T* const y = call[3].as<T>();
    const LongRows rows(call[0]);
    T* const w = reinterpret_cast<T*>(call.workspace);
    T* const b = w + rows.width;
    widen_from(rows, call[1], T(1), w);
    widen_from(rows, call[2], T(0), b);
    for_long_rows<T>(call.pool, rows, [=](int64_t i, int64_t j, auto at) {
      at.store(y + i, fma(at.load(x + i), Vec<T>::loadu(w + j), Vec<T>::loadu(b + j)));
    });
  });
}

void channel_scale_simd_backward_input(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    T* const dx = call[2].as<T>();
    const LongRows rows(call[0]);
    T* const w = reinterpret_cast<T*>(call.workspace);
    widen_from(rows, call[1], T(1), w);
    for_long_rows<T>(call.pool, rows, [=](int64_t i, int64_t j, auto at) {
      at.store(dx + i, at.load(dy + i) * Vec<T>::loadu(w + j));
    });
  });
}

void channel_scale_simd_backward_weight(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const x = call[1].as<T>();
    const LongRows rows(call[0]);
    const auto store = [&](const Tensor& to, const double* sums) {
      if (!to.present()) return;
      for (int64_t k = 0; k < rows.c; ++k) to.as<T>()[k] = static_cast<T>(sums[k]);
    };
    if (!call[2].present()) {
      ChannelSums<T, 1> sums(rows, call.workspace);
      sums.add_up(call.pool,
                  [=](int64_t i, int64_t, auto at, Vec<T>* out) { out[0] = at.load(dy + i); });
      store(call[3], sums.total);
      return;
    }
    ChannelSums<T, 2> sums(rows, call.workspace);
    sums.add_up(call.pool, [=](int64_t i, int64_t, auto at, Vec<T>* out) {
      out[0] = at.load(dy + i);
      out[1] = out[0] * at.load(x + i);
    });
    store(call[3], sums.total);
    store(call[2], sums.total + rows.c);
  });
}

}  // namespace convkit::CK_ISA
