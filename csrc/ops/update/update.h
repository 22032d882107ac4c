// update: one optimiser step over a stretch of the flat parameter buffer (n values).
//
//   sgd       g [n], v [n] or absent, w [n]
//   adagrad   g [n], a [n], w [n]
//   adadelta  g [n], a [n], d [n], w [n]
//   rmsprop   g [n], a [n], mean [n] or absent, v [n] or absent, w [n]
//   adam      g [n], m [n], v [n], largest [n] or absent, w [n]
//   nadam     g [n], m [n], v [n], w [n]
//   adamax    g [n], m [n], u [n], w [n]
//   lion      g [n], m [n], w [n]
//   global_norm  g [n], any number of them -> norm [1], the 2-norm of all values together
//   clip_norm    norm [1], g [n]             g is changed in place
//
// State and w are changed in place, g is only read. What comes before each rule, in this order:
//   maximize != 0: g = -g
//   g = min(max(g, -clip_value), clip_value)
//   weight_decay d: decoupled == 0: g += d*w (L2 regularisation)
//                   decoupled != 0: w -= eta*d*w (Loshchilov and Hutter 2019)
// eta = learning_rate * lr_scale, t = step + 1, learning_rate and step from the step block.
//
// sgd (Rumelhart et al. 1986; Keras's form, eta inside the velocity; torch: v = momentum*v + g,
// w -= eta*v, the same while eta stays):
//   momentum 0: w -= eta*g, the product rounded before the difference, as NumPy rounds it
//   else:       v = momentum*v - eta*g;  w += nesterov ? momentum*v - eta*g : v
// adagrad (Duchi, Hazan and Singer 2011; Keras: epsilon inside the root; torch: sqrt(a) + epsilon):
//   a += g*g;  w -= eta*g / sqrt(a + epsilon)
// adadelta (Zeiler 2012, algorithm 1, times eta; Keras and torch alike):
//   a = rho*a + (1 - rho)*g*g;  s = sqrt((d + epsilon)/(a + epsilon))*g
//   d = rho*d + (1 - rho)*s*s;  w -= eta*s
// rmsprop (Hinton, Srivastava and Swersky 2012, lecture 6e; with `mean`, Graves 2013, equations 38
// to 45; Keras: epsilon inside the root, eta inside v; torch: sqrt(a) + epsilon, w -= eta*v):
//   a = rho*a + (1 - rho)*g*g;  mean = rho*mean + (1 - rho)*g
//   s = eta*g / sqrt(a + epsilon), with `mean` s = eta*g / sqrt(max(a - mean*mean, 0) + epsilon):
//   the variance may be rounded to below 0, and Keras then takes the root of a negative number
//   w -= s, with `v` v = momentum*v + s;  w -= v
// adam (Kingma and Ba 2015, with the bias corrections in the step size, section 2; torch adds
// epsilon to sqrt(v / (1 - beta2^t))):
//   m += (g - m)(1 - beta1);  v += (g*g - v)(1 - beta2)
//   w -= eta * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)
//   with `largest` (AMSGrad; Reddi, Kale and Kumar 2018) largest = max(largest, v) stands for v
// nadam (Dozat 2016, algorithm 2; Keras: mu_t = beta1*(1 - 0.96^t/2); torch: 0.96^(0.004 t)):
//   m, v as adam;  M_t = mu_1 * ... * mu_t
//   s = mu_(t+1)*m / (1 - M_(t+1)) + (1 - mu_t)*g / (1 - M_t)
//   w -= eta*s / (sqrt(v / (1 - beta2^t)) + epsilon)
// adamax (Kingma and Ba 2015, algorithm 2; Keras: u + epsilon; torch: max(beta2*u, |g| + epsilon)):
//   m as adam;  u = max(beta2*u, |g|);  w -= eta / (1 - beta1^t) * m / (u + epsilon)
// lion (Chen et al. 2023, algorithm 2; sign(0) = 0):
//   w -= eta * sign(beta1*m + (1 - beta1)*g);  m = beta2*m + (1 - beta2)*g
//
// clip_norm (Pascanu, Mikolov and Bengio 2013, algorithm 1):
//   norm > max_norm: g *= max_norm / norm
#pragma once

#include "core/kernel.h"

namespace convkit {

struct UpdateParams {
  double momentum;
  int64_t nesterov;
  double beta1, beta2, rho, epsilon;
  double weight_decay;
  int64_t decoupled;
  int64_t maximize;
  double clip_value;
  double lr_scale;
  double max_norm;
};

constexpr int64_t kUpdateChunk = 16384;  // values that one thread takes at a time

CK_DECLARE_KERNEL(update_naive_sgd)
CK_DECLARE_KERNEL(update_naive_adagrad)
CK_DECLARE_KERNEL(update_naive_adadelta)
CK_DECLARE_KERNEL(update_naive_rmsprop)
CK_DECLARE_KERNEL(update_naive_adam)
CK_DECLARE_KERNEL(update_naive_nadam)
CK_DECLARE_KERNEL(update_naive_adamax)
CK_DECLARE_KERNEL(update_naive_lion)
CK_DECLARE_KERNEL(update_naive_global_norm)
CK_DECLARE_KERNEL(update_naive_clip_norm)
CK_DECLARE_KERNEL(update_simd_sgd)
CK_DECLARE_KERNEL(update_simd_adagrad)
CK_DECLARE_KERNEL(update_simd_adadelta)
CK_DECLARE_KERNEL(update_simd_rmsprop)
CK_DECLARE_KERNEL(update_simd_adam)
CK_DECLARE_KERNEL(update_simd_nadam)
CK_DECLARE_KERNEL(update_simd_adamax)
CK_DECLARE_KERNEL(update_simd_lion)
CK_DECLARE_KERNEL(update_simd_global_norm)
CK_DECLARE_KERNEL(update_simd_clip_norm)

}  // namespace convkit
