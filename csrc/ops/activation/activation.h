// activation: y = f(x), elementwise.
//
//   forward               x [...]            -> y [...]
//   backward              dy [...], x [...]  -> dx [...] = dy * f'(x)
//   backward_from_output  dy [...], y [...]  -> dx [...] = dy * f'(x), for the kinds whose
//                                               derivative is a function of y (see from_output)
//
// y may be x, and dx may be dy (same address). NaN in x gives NaN in y. At a kink the derivative is
// that of the side below: relu'(0) = 0; at the ends of hardtanh and hard_sigmoid it is 0, as a
// clipped output tells no more. step has derivative 0.
#pragma once

#include "core/kernel.h"

namespace convkit {

enum class Activation : int64_t {
  linear,
  relu,
  leaky_relu,
  sigmoid,
  tanh,
  scaled_tanh,
  hardtanh,
  hard_sigmoid,
  elu,
  selu,
  softplus,
  softsign,
  gelu,
  silu,
  exponential,
  step,
};
constexpr const char* kActivationNames[] = {"linear", "relu",        "leaky_relu",  "sigmoid",
                                            "tanh",   "scaled_tanh", "hardtanh",    "hard_sigmoid",
                                            "elu",    "selu",        "softplus",    "softsign",
                                            "gelu",   "silu",        "exponential", "step"};

// gelu (its exact form, with erf) and silu are not monotonic: their derivative needs x.
constexpr bool from_output(Activation a) { return a != Activation::gelu && a != Activation::silu; }

struct ActivationParams {
  int64_t activation;  // an Activation
  double alpha;        // leaky_relu: slope below 0 (>= 0); elu: scale below 0
};

CK_DECLARE_KERNEL(activation_naive_forward)
CK_DECLARE_KERNEL(activation_naive_backward)
CK_DECLARE_KERNEL(activation_naive_backward_from_output)
CK_DECLARE_KERNEL(activation_simd_forward)
CK_DECLARE_KERNEL(activation_simd_backward)
CK_DECLARE_KERNEL(activation_simd_backward_from_output)

}  // namespace convkit
