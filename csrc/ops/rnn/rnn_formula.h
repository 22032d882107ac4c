// What a step of rnn does to one unit of one sequence beside its products, and its gradient, on any
// device.
#pragma once

#include "ops/activation/activation_formula.h"

namespace convkit::CK_ISA {

// The sums of i f g o become the gates, and c becomes c'; returns h'.
template <class T>
CK_INLINE T lstm_unit(T (&gate)[4], T& c) {
  gate[0] = logistic(gate[0]);
  gate[1] = logistic(gate[1]);
  gate[2] = libm::tanh(gate[2]);
  gate[3] = logistic(gate[3]);
  c = gate[1] * c + gate[0] * gate[2];
  return gate[3] * libm::tanh(c);
}

// From i f g o c', c and dh': da are the gradients of the gates' sums, dc' becomes dc.
template <class T>
CK_INLINE void lstm_unit_backward(const T (&saved)[5], T c, T dh, T& dc, T (&da)[4]) {
  const T i = saved[0], f = saved[1], g = saved[2], o = saved[3], tanh_c = libm::tanh(saved[4]);
  dc += dh * o * (T(1) - tanh_c * tanh_c);
  da[0] = dc * g * i * (T(1) - i);
  da[1] = dc * c * f * (T(1) - f);
  da[2] = dc * i * (T(1) - g * g);
  da[3] = dh * tanh_c * o * (T(1) - o);
  dc *= f;
}

// h' from h, the update gate and the candidate.
template <class T>
CK_INLINE T gru_unit(T z, T n, T h) {
  return z * h + (T(1) - z) * n;
}

// From dh': dz and dn are the gradients of the sums of z and n. Returns what of dh' reaches h past
// the gates.
template <class T>
CK_INLINE T gru_unit_backward(T z, T n, T h, T dh, T& dz, T& dn) {
  dz = dh * (h - n) * z * (T(1) - z);
  dn = dh * (T(1) - z) * (T(1) - n * n);
  return dh * z;
}

// The gradient of the sum of r, from that of r times a factor: of r q, which is dn, with
// reset_after, of r h without.
template <class T>
CK_INLINE T gru_reset_backward(T r, T factor, T d) {
  return d * factor * r * (T(1) - r);
}

}  // namespace convkit::CK_ISA
