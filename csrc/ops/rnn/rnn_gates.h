// The gates of the tiled kernels of rnn: what one step does to one sequence beside its products.
// For kernel sources only (core/isa.h).
#pragma once

#include "gemm/runs.h"
#include "ops/activation/activation_apply.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {

template <class T>
CK_INLINE void simple_forward_row(Activation kind, const T* sums, int64_t H, T* h) {
  copy_run(sums, H, h);
  apply_activation(kind, 0.0, h, H);
}

template <class T>
CK_INLINE void lstm_forward_row(int64_t H, T* saved, T* h, T* c) {
  T* const i = saved;
  T *const f = i + H, *const g = f + H, *const o = g + H, *const c_saved = o + H;
  each_vector<T>(H, [=](auto at) {
    const Vec<T> iv = sigmoid(at.load(i)), fv = sigmoid(at.load(f));
    const Vec<T> gv = tanh(at.load(g)), ov = sigmoid(at.load(o));
    const Vec<T> cv = fma(fv, at.load(c), iv * gv);
    at.store(i, iv);
    at.store(f, fv);
    at.store(g, gv);
    at.store(o, ov);
    at.store(c_saved, cv);
    at.store(c, cv);
    at.store(h, ov * tanh(cv));
  });
}

// z and r from their sums; without reset_after also r h.
template <class T>
CK_INLINE void gru_forward_gates(int64_t H, T* saved, const T* h, T* rh) {
  T *const z = saved, *const r = z + H;
  each_vector<T>(H, [=](auto at) {
    const Vec<T> rv = sigmoid(at.load(r));
    at.store(z, sigmoid(at.load(z)));
    at.store(r, rv);
    if (rh != nullptr) at.store(rh, rv * at.load(h));
  });
}

// n from its sum and, if there is one, r q; then the new state.
template <class T>
CK_INLINE void gru_forward_state(int64_t H, T* saved, const T* q, T* h) {
  T *const z = saved, *const r = z + H, *const n = r + H;
  each_vector<T>(H, [=](auto at) {
    Vec<T> sum = at.load(n);
    if (q != nullptr) sum = fma(at.load(r), at.load(q), sum);
    const Vec<T> nv = tanh(sum), zv = at.load(z);
    at.store(n, nv);
    at.store(h, fma(zv, at.load(h), (T(1) - zv) * nv));
  });
}

template <class T>
CK_INLINE void simple_backward_row(Activation kind, int64_t H, const T* y, const T* dh, T* da) {
  each_vector<T>(H, [=](auto at) {
    const Vec<T> yv = at.load(y), zero = T(0);
    Vec<T> d = at.load(dh);
    if (kind == Activation::tanh) d *= T(1) - yv * yv;
    if (kind == Activation::sigmoid) d *= yv * (T(1) - yv);
    if (kind == Activation::relu) d *= select(yv > zero, Vec<T>(T(1)), zero);
    at.store(da, d);
  });
}

template <class T>
CK_INLINE void lstm_backward_row(int64_t H, const T* saved, const T* c_before, T* dh, T* dc,
                                 T* da) {
  each_vector<T>(H, [=](auto at) {
    const Vec<T> i = at.load(saved), f = at.load(saved + H), g = at.load(saved + 2 * H);
    const Vec<T> o = at.load(saved + 3 * H), tanh_c = tanh(at.load(saved + 4 * H));
    const Vec<T> dhv = at.load(dh), one = T(1);
    const Vec<T> dcv = fma(dhv * o, one - tanh_c * tanh_c, at.load(dc));
    at.store(da, dcv * g * i * (one - i));
    at.store(da + H, dcv * at.load(c_before) * f * (one - f));
    at.store(da + 2 * H, dcv * i * (one - g * g));
    at.store(da + 3 * H, dhv * tanh_c * o * (one - o));
    at.store(dc, dcv * f);
    at.store(dh, Vec<T>::zero());
  });
}

// dz and dn, with reset_after also dr and dq; of dh what goes past the gates.
template <bool kResetAfter, class T>
CK_INLINE void gru_backward_gates(int64_t H, const T* saved, const T* h, T* dh, T* da) {
  each_vector<T>(H, [=](auto at) {
    const Vec<T> z = at.load(saved), r = at.load(saved + H), n = at.load(saved + 2 * H);
    const Vec<T> dhv = at.load(dh), one = T(1);
    const Vec<T> dn = dhv * (one - z) * (one - n * n);
    at.store(da, dhv * (at.load(h) - n) * z * (one - z));
    at.store(da + 2 * H, dn);
    at.store(dh, dhv * z);
    if constexpr (kResetAfter) {
      at.store(da + H, dn * at.load(saved + 3 * H) * r * (one - r));
      at.store(da + 3 * H, dn * r);
    }
  });
}

// Without reset_after, dr from the gradient of r h.
template <class T>
CK_INLINE void gru_backward_reset(int64_t H, const T* saved, const T* h, const T* d_rh, T* dh,
                                  T* da, T* rh) {
  each_vector<T>(H, [=](auto at) {
    const Vec<T> r = at.load(saved + H), hv = at.load(h), d = at.load(d_rh);
    at.store(da + H, d * hv * r * (T(1) - r));
    at.store(rh, r * hv);
    at.store(dh, fma(d, r, at.load(dh)));
  });
}

}  // namespace convkit::CK_ISA
