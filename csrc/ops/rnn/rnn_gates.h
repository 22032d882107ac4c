// The gates of the tiled kernels of rnn: what one step does to a vector of units of one sequence
// beside its products. For kernel sources only (core/isa.h).
#pragma once

#include "gemm/runs.h"
#include "ops/activation/activation_apply.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {

// A sequence at a step, for its H units.
template <class T>
struct StepRow {
  int64_t H;
  bool real;   // else the state and the output stay as they are
  const T* h;  // the state before
  T *h_after, *y;
  const T* y_before;  // null: none yet
  T* saved;
};

// What a step that is masked leaves, for gates whose saved values are blocks of H.
template <int kSaved, class T, class At>
CK_INLINE void pass_over(const StepRow<T>& row, At at) {
  at.store(row.h_after, at.load(row.h));
  at.store(row.y, row.y_before != nullptr ? at.load(row.y_before) : Vec<T>::zero());
  for (int k = 0; k < kSaved; ++k) at.store(row.saved + k * row.H, Vec<T>::zero());
}

template <class T, class At>
CK_INLINE void step_out(const StepRow<T>& row, At at, Vec<T> h) {
  at.store(row.h_after, h);
  at.store(row.y, h);
}

// `sums` here and below: a vector for each gate.
template <class T, class At>
CK_INLINE void lstm_forward(const StepRow<T>& row, At at, const T* sums, T* c) {
  constexpr int lanes = Vec<T>::kLanes;
  const Vec<T> i = sigmoid(Vec<T>::loadu(sums)), f = sigmoid(Vec<T>::loadu(sums + lanes));
  const Vec<T> g = tanh(Vec<T>::loadu(sums + 2 * lanes));
  const Vec<T> o = sigmoid(Vec<T>::loadu(sums + 3 * lanes));
  const Vec<T> after = fma(f, at.load(c), i * g);
  T* const saved = row.saved;
  at.store(saved, i);
  at.store(saved + row.H, f);
  at.store(saved + 2 * row.H, g);
  at.store(saved + 3 * row.H, o);
  at.store(saved + 4 * row.H, after);
  at.store(c, after);
  step_out(row, at, o * tanh(after));
}

// With reset_after, from the sums of z, r and q and, apart, of n.
template <class T, class At>
CK_INLINE void gru_forward(const StepRow<T>& row, At at, const T* sums, Vec<T> n) {
  constexpr int lanes = Vec<T>::kLanes;
  const Vec<T> z = sigmoid(Vec<T>::loadu(sums)), r = sigmoid(Vec<T>::loadu(sums + lanes));
  const Vec<T> q = Vec<T>::loadu(sums + 2 * lanes);
  n = tanh(fma(r, q, n));
  T* const saved = row.saved;
  at.store(saved, z);
  at.store(saved + row.H, r);
  at.store(saved + 2 * row.H, n);
  at.store(saved + 3 * row.H, q);
  step_out(row, at, fma(z, at.load(row.h), (T(1) - z) * n));
}

// Without reset_after: z, r and r h; then n and the state.
template <class T, class At>
CK_INLINE void gru_forward_gates(const StepRow<T>& row, At at, Vec<T> z, Vec<T> r, T* rh) {
  z = sigmoid(z), r = sigmoid(r);
  at.store(row.saved, z);
  at.store(row.saved + row.H, r);
  at.store(rh, r * at.load(row.h));
}

template <class T, class At>
CK_INLINE void gru_forward_state(const StepRow<T>& row, At at, Vec<T> n) {
  n = tanh(n);
  const Vec<T> z = at.load(row.saved);
  at.store(row.saved + 2 * row.H, n);
  step_out(row, at, fma(z, at.load(row.h), (T(1) - z) * n));
}

template <class T>
CK_INLINE void simple_backward_row(Activation kind, int64_t H, const T* y, T* dh, T* da) {
  each_vector<T>(H, [=](auto at) {
    const Vec<T> yv = at.load(y), zero = T(0);
    Vec<T> d = at.load(dh);
    if (kind == Activation::tanh) d *= T(1) - yv * yv;
    if (kind == Activation::sigmoid) d *= yv * (T(1) - yv);
    if (kind == Activation::relu) d *= select(yv > zero, Vec<T>(T(1)), zero);
    at.store(da, d);
    at.store(dh, zero);
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

// da is z r n; with reset_after z r q n, so that what u is multiplied with stands together. Without
// it, dr is missing. Of dh, what goes past the gates.
template <bool kResetAfter, class T>
CK_INLINE void gru_backward_gates(int64_t H, const T* saved, const T* h, T* dh, T* da) {
  each_vector<T>(H, [=](auto at) {
    const Vec<T> z = at.load(saved), r = at.load(saved + H), n = at.load(saved + 2 * H);
    const Vec<T> dhv = at.load(dh), one = T(1);
    const Vec<T> dn = dhv * (one - z) * (one - n * n);
    at.store(da, dhv * (at.load(h) - n) * z * (one - z));
    at.store(da + (kResetAfter ? 3 : 2) * H, dn);
    at.store(dh, dhv * z);
    if constexpr (kResetAfter) {
      at.store(da + H, dn * at.load(saved + 3 * H) * r * (one - r));
      at.store(da + 2 * H, dn * r);
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
