// The rules of update, one weight at a time; the naive and the fast rows drive the same ones.
//
// A rule makes its numbers once from parameters and step block, in double, rounds each once, and is
// called with the gradient, the weight and its state. The rows of all devices share it.
#pragma once

#ifndef CK_ISA
#error "ops/update/update_rules.h is for sources that are compiled once per ISA"
#endif

#include "core/libm.h"
#include "ops/update/update.h"

namespace convkit::CK_ISA {

CK_INLINE double eta_of(const UpdateParams& p, const StepBlock& block) {
  return block.learning_rate * p.lr_scale;
}
CK_INLINE double steps_of(const StepBlock& block) { return static_cast<double>(block.step) + 1; }

// What happens to gradient and weight before any rule. A decay of zero must not touch them: 0*w is
// NaN for an infinite w.
template <class T>
struct Before {
  T clip, l2, shrink;
  bool maximize, clips;

  CK_INLINE Before(const UpdateParams& p, const StepBlock& block) {
    clip = static_cast<T>(p.clip_value);
    l2 = static_cast<T>(p.decoupled ? 0.0 : p.weight_decay);
    shrink = static_cast<T>(p.decoupled ? eta_of(p, block) * p.weight_decay : 0.0);
    maximize = p.maximize != 0;
    clips = p.clip_value < __builtin_inf();
  }
  CK_INLINE bool changes_gradient() const { return maximize || clips || l2 != 0; }
  CK_INLINE T gradient(T g, T w) const {
    g = maximize ? -g : g;
    if (clips) g = g > clip ? clip : g < -clip ? -clip : g;
    return l2 != 0 ? g + l2 * w : g;
  }
};

// No momentum: no velocity either, and a promise about the rounding (update_cpu.cpp).
template <class T>
struct PlainSgd {
  T eta;
  CK_INLINE PlainSgd(const UpdateParams& p, const StepBlock& block)
      : eta(static_cast<T>(eta_of(p, block))) {}
};

template <class T>
struct Sgd {
  T eta, momentum;
  bool nesterov;
  CK_INLINE Sgd(const UpdateParams& p, const StepBlock& block)
      : eta(static_cast<T>(eta_of(p, block))),
        momentum(static_cast<T>(p.momentum)),
        nesterov(p.nesterov != 0) {}
  CK_INLINE void operator()(T g, T& w, T& v) const {
    v = momentum * v - eta * g;
    w += nesterov ? momentum * v - eta * g : v;
  }
};

template <class T>
struct Adagrad {
  T eta, epsilon;
  CK_INLINE Adagrad(const UpdateParams& p, const StepBlock& block)
      : eta(static_cast<T>(eta_of(p, block))), epsilon(static_cast<T>(p.epsilon)) {}
  CK_INLINE void operator()(T g, T& w, T& a) const {
    a += g * g;
    w -= eta * g / libm::sqrt(a + epsilon);
  }
};

template <class T>
struct Adadelta {
  T eta, rho, rest, epsilon;
  CK_INLINE Adadelta(const UpdateParams& p, const StepBlock& block)
      : eta(static_cast<T>(eta_of(p, block))),
        rho(static_cast<T>(p.rho)),
        rest(static_cast<T>(1.0 - p.rho)),
        epsilon(static_cast<T>(p.epsilon)) {}
  CK_INLINE void operator()(T g, T& w, T& a, T& d) const {
    a = rho * a + rest * g * g;
    const T s = libm::sqrt((d + epsilon) / (a + epsilon)) * g;
    d = rho * d + rest * s * s;
    w -= eta * s;
  }
};

template <class T>
struct RmsProp {
  T eta, rho, rest, momentum, epsilon;
  CK_INLINE RmsProp(const UpdateParams& p, const StepBlock& block)
      : eta(static_cast<T>(eta_of(p, block))),
        rho(static_cast<T>(p.rho)),
        rest(static_cast<T>(1.0 - p.rho)),
        momentum(static_cast<T>(p.momentum)),
        epsilon(static_cast<T>(p.epsilon)) {}
  CK_INLINE T average(T g, T& a) const {
    a = rho * a + rest * g * g;
    return a;
  }
  CK_INLINE T variance(T g, T& a, T& mean) const {
    mean = rho * mean + rest * g;
    const T v = average(g, a) - mean * mean;
    return v < 0 ? 0 : v;
  }
  CK_INLINE T step(T g, T square) const { return eta * g / libm::sqrt(square + epsilon); }
};
template <class T>
struct RmsPropAlone : RmsProp<T> {
  using RmsProp<T>::RmsProp;
  CK_INLINE void operator()(T g, T& w, T& a) const { w -= this->step(g, this->average(g, a)); }
};
template <class T>
struct RmsPropCentered : RmsProp<T> {
  using RmsProp<T>::RmsProp;
  CK_INLINE void operator()(T g, T& w, T& a, T& mean) const {
    w -= this->step(g, this->variance(g, a, mean));
  }
};
template <class T>
struct RmsPropMomentum : RmsProp<T> {
  using RmsProp<T>::RmsProp;
  CK_INLINE void operator()(T g, T& w, T& a, T& v) const {
    v = this->momentum * v + this->step(g, this->average(g, a));
    w -= v;
  }
};
template <class T>
struct RmsPropCenteredMomentum : RmsProp<T> {
  using RmsProp<T>::RmsProp;
  CK_INLINE void operator()(T g, T& w, T& a, T& mean, T& v) const {
    v = this->momentum * v + this->step(g, this->variance(g, a, mean));
    w -= v;
  }
};

// The two averages that Adam's relatives keep.
template <class T>
struct Moments {
  T rate1, rate2, epsilon;
  CK_INLINE explicit Moments(const UpdateParams& p)
      : rate1(static_cast<T>(1.0 - p.beta1)),
        rate2(static_cast<T>(1.0 - p.beta2)),
        epsilon(static_cast<T>(p.epsilon)) {}
  CK_INLINE void average(T g, T& m, T& v) const {
    m += (g - m) * rate1;
    v += (g * g - v) * rate2;
  }
};

template <class T>
struct Adam : Moments<T> {
  T eta;
  CK_INLINE Adam(const UpdateParams& p, const StepBlock& block) : Moments<T>(p) {
    const double t = steps_of(block);
    const double unbias = libm::sqrt(1.0 - libm::pow(p.beta2, t)) / (1.0 - libm::pow(p.beta1, t));
    eta = static_cast<T>(eta_of(p, block) * unbias);
  }
  CK_INLINE void operator()(T g, T& w, T& m, T& v) const {
    this->average(g, m, v);
    w -= eta * m / (libm::sqrt(v) + this->epsilon);
  }
};
template <class T>
struct AmsGrad : Adam<T> {
  using Adam<T>::Adam;
  CK_INLINE void operator()(T g, T& w, T& m, T& v, T& largest) const {
    this->average(g, m, v);
    largest = largest > v ? largest : v;
    w -= this->eta * m / (libm::sqrt(largest) + this->epsilon);
  }
};

// Nadam's product of (1 - 0.96^i/2), i = 1 .. t; from some 900 on a factor is 1 in double.
constexpr int kNadamWarmup = 1024;
struct NadamProducts {
  double of[kNadamWarmup + 1];
};
#ifdef __CUDACC__
#define CK_TABLE __device__  // and what reads it
#else
#define CK_TABLE inline
#endif
CK_TABLE constexpr NadamProducts kNadamProducts = [] {
  NadamProducts products{};
  double product = 1, power = 1;
  products.of[0] = product;
  for (int i = 1; i <= kNadamWarmup; ++i) {
    power *= 0.96;
    product *= 1 - 0.5 * power;
    products.of[i] = product;
  }
  return products;
}();

template <class T>
struct Nadam : Moments<T> {
  T of_m, of_g, unbias;
  CK_TABLE Nadam(const UpdateParams& p, const StepBlock& block) : Moments<T>(p) {
    const double t = steps_of(block), eta = eta_of(p, block);
    const auto mu = [&](double i) { return p.beta1 * (1 - 0.5 * libm::pow(0.96, i)); };
    const int settled = t < kNadamWarmup ? static_cast<int>(t) : kNadamWarmup;
    const double product = libm::pow(p.beta1, t) * kNadamProducts.of[settled];
    of_m = static_cast<T>(eta * mu(t + 1) / (1 - product * mu(t + 1)));
    of_g = static_cast<T>(eta * (1 - mu(t)) / (1 - product));
    unbias = static_cast<T>(1 / (1 - libm::pow(p.beta2, t)));
  }
  CK_INLINE void operator()(T g, T& w, T& m, T& v) const {
    this->average(g, m, v);
    w -= (of_m * m + of_g * g) / (libm::sqrt(v * unbias) + this->epsilon);
  }
};

#undef CK_TABLE

template <class T>
struct Adamax {
  T eta, rate1, beta2, epsilon;
  CK_INLINE Adamax(const UpdateParams& p, const StepBlock& block) {
    eta = static_cast<T>(eta_of(p, block) / (1.0 - libm::pow(p.beta1, steps_of(block))));
    rate1 = static_cast<T>(1.0 - p.beta1);
    beta2 = static_cast<T>(p.beta2);
    epsilon = static_cast<T>(p.epsilon);
  }
  CK_INLINE void operator()(T g, T& w, T& m, T& u) const {
    const T size = libm::abs(g), faded = beta2 * u;
    m += (g - m) * rate1;
    u = faded > size ? faded : size;
    w -= eta * m / (u + epsilon);
  }
};

template <class T>
struct Lion {
  T eta, beta1, rest1, beta2, rest2;
  CK_INLINE Lion(const UpdateParams& p, const StepBlock& block) {
    eta = static_cast<T>(eta_of(p, block));
    beta1 = static_cast<T>(p.beta1);
    rest1 = static_cast<T>(1.0 - p.beta1);
    beta2 = static_cast<T>(p.beta2);
    rest2 = static_cast<T>(1.0 - p.beta2);
  }
  CK_INLINE void operator()(T g, T& w, T& m) const {
    const T c = beta1 * m + rest1 * g;
    w -= c > 0 ? eta : c < 0 ? -eta : eta * c;  // of c 0 and NaN, themselves
    m = beta2 * m + rest2 * g;
  }
};

}  // namespace convkit::CK_ISA
