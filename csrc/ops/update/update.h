// update: one optimiser step over a stretch of the flat parameter buffer (n values).
//
//   sgd   g [n], v [n] or absent, w [n]      v and w are changed in place
//   adam  g [n], m [n], v [n], w [n]         m, v and w are changed in place
//   global_norm  g [n], any number of them -> norm [1], the 2-norm of all values together
//   clip_norm    norm [1], g [n]             g is changed in place
//
// clip_norm (Pascanu, Mikolov and Bengio 2013, algorithm 1):
//   norm > max_norm: g *= max_norm / norm
//
// eta = learning_rate * lr_scale, t = step + 1, learning_rate and step from the step block.
// weight_decay d: decoupled != 0: w -= eta*d*w before the step (Loshchilov and Hutter 2019);
//                 decoupled == 0: g += d*w (L2 regularisation).
//
// sgd (Rumelhart et al. 1986; Keras's form):
//   momentum 0: w -= eta*g, the product rounded before the difference, as NumPy rounds it
//   else:       v = momentum*v - eta*g;  w += nesterov ? momentum*v - eta*g : v
// adam (Kingma and Ba 2015, with the bias corrections in the step size, section 2):
//   m += (g - m)(1 - beta1);  v += (g*g - v)(1 - beta2)
//   w -= eta * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)
#pragma once

#include "core/kernel.h"

namespace convkit {

struct UpdateParams {
  double momentum;
  int64_t nesterov;
  double beta1, beta2, epsilon;
  double weight_decay;
  int64_t decoupled;
  double lr_scale;
  double max_norm;
};

constexpr int64_t kUpdateChunk = 16384;  // values that one thread takes at a time

CK_DECLARE_KERNEL(update_naive_sgd)
CK_DECLARE_KERNEL(update_naive_adam)
CK_DECLARE_KERNEL(update_naive_global_norm)
CK_DECLARE_KERNEL(update_naive_clip_norm)
CK_DECLARE_KERNEL(update_simd_sgd)
CK_DECLARE_KERNEL(update_simd_adam)
CK_DECLARE_KERNEL(update_simd_global_norm)
CK_DECLARE_KERNEL(update_simd_clip_norm)

}  // namespace convkit
