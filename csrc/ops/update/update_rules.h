// The rules of update, one weight at a time; the naive and the fast rows drive the same ones.
//
// A rule reads its numbers from the call once, in double, rounds each once, and is called with the
// gradient, the weight and its state.
#pragma once

#ifndef CK_ISA
#error "ops/update/update_rules.h is for sources that are compiled once per ISA"
#endif

#include <array>

#include "ops/update/update.h"

namespace convkit::CK_ISA {

CK_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
CK_INLINE double square_root(double x) { return __builtin_sqrt(x); }
CK_INLINE float size_of(float x) { return __builtin_fabsf(x); }
CK_INLINE double size_of(double x) { return __builtin_fabs(x); }

CK_INLINE double eta_of(const Call& call) {
  return call.step->learning_rate * call.as<UpdateParams>().lr_scale;
}
CK_INLINE double steps_of(const Call& call) { return static_cast<double>(call.step->step) + 1; }

// What happens to gradient and weight before any rule. A decay of zero must not touch them: 0*w is
// NaN for an infinite w.
template <class T>
struct Before {
  T clip, l2, shrink;
  bool maximize, clips;

  CK_INLINE explicit Before(const Call& call) {
    const UpdateParams& p = call.as<UpdateParams>();
    clip = static_cast<T>(p.clip_value);
    l2 = static_cast<T>(p.decoupled ? 0.0 : p.weight_decay);
    shrink = static_cast<T>(p.decoupled ? eta_of(call) * p.weight_decay : 0.0);
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
  CK_INLINE explicit PlainSgd(const Call& call) : eta(static_cast<T>(eta_of(call))) {}
};

template <class T>
struct Sgd {
  T eta, momentum;
  bool nesterov;
  CK_INLINE explicit Sgd(const Call& call)
      : eta(static_cast<T>(eta_of(call))),
        momentum(static_cast<T>(call.as<UpdateParams>().momentum)),
        nesterov(call.as<UpdateParams>().nesterov != 0) {}
  CK_INLINE void operator()(T g, T& w, T& v) const {
    v = momentum * v - eta * g;
    w += nesterov ? momentum * v - eta * g : v;
  }
};

template <class T>
struct Adagrad {
  T eta, epsilon;
  CK_INLINE explicit Adagrad(const Call& call)
      : eta(static_cast<T>(eta_of(call))),
        epsilon(static_cast<T>(call.as<UpdateParams>().epsilon)) {}
  CK_INLINE void operator()(T g, T& w, T& a) const {
    a += g * g;
    w -= eta * g / square_root(a + epsilon);
  }
};

template <class T>
struct Adadelta {
  T eta, rho, rest, epsilon;
  CK_INLINE explicit Adadelta(const Call& call)
      : eta(static_cast<T>(eta_of(call))),
        rho(static_cast<T>(call.as<UpdateParams>().rho)),
        rest(static_cast<T>(1.0 - call.as<UpdateParams>().rho)),
        epsilon(static_cast<T>(call.as<UpdateParams>().epsilon)) {}
  CK_INLINE void operator()(T g, T& w, T& a, T& d) const {
    a = rho * a + rest * g * g;
    const T s = square_root((d + epsilon) / (a + epsilon)) * g;
    d = rho * d + rest * s * s;
    w -= eta * s;
  }
};

template <class T>
struct RmsProp {
  T eta, rho, rest, momentum, epsilon;
  CK_INLINE explicit RmsProp(const Call& call)
      : eta(static_cast<T>(eta_of(call))),
        rho(static_cast<T>(call.as<UpdateParams>().rho)),
        rest(static_cast<T>(1.0 - call.as<UpdateParams>().rho)),
        momentum(static_cast<T>(call.as<UpdateParams>().momentum)),
        epsilon(static_cast<T>(call.as<UpdateParams>().epsilon)) {}
  CK_INLINE T average(T g, T& a) const {
    a = rho * a + rest * g * g;
    return a;
  }
  CK_INLINE T variance(T g, T& a, T& mean) const {
    mean = rho * mean + rest * g;
    const T v = average(g, a) - mean * mean;
    return v < 0 ? 0 : v;
  }
  CK_INLINE T step(T g, T square) const { return eta * g / square_root(square + epsilon); }
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
  CK_INLINE explicit Moments(const Call& call)
      : rate1(static_cast<T>(1.0 - call.as<UpdateParams>().beta1)),
        rate2(static_cast<T>(1.0 - call.as<UpdateParams>().beta2)),
        epsilon(static_cast<T>(call.as<UpdateParams>().epsilon)) {}
  CK_INLINE void average(T g, T& m, T& v) const {
    m += (g - m) * rate1;
    v += (g * g - v) * rate2;
  }
};

template <class T>
struct Adam : Moments<T> {
  T eta;
  CK_INLINE explicit Adam(const Call& call) : Moments<T>(call) {
    const UpdateParams& p = call.as<UpdateParams>();
    const double t = steps_of(call);
    const double unbias =
        __builtin_sqrt(1.0 - __builtin_pow(p.beta2, t)) / (1.0 - __builtin_pow(p.beta1, t));
    eta = static_cast<T>(eta_of(call) * unbias);
  }
  CK_INLINE void operator()(T g, T& w, T& m, T& v) const {
    this->average(g, m, v);
    w -= eta * m / (square_root(v) + this->epsilon);
  }
};
template <class T>
struct AmsGrad : Adam<T> {
  using Adam<T>::Adam;
  CK_INLINE void operator()(T g, T& w, T& m, T& v, T& largest) const {
    this->average(g, m, v);
    largest = largest > v ? largest : v;
    w -= this->eta * m / (square_root(largest) + this->epsilon);
  }
};

// Nadam's product of (1 - 0.96^i/2), i = 1 .. t; from some 900 on a factor is 1 in double.
constexpr int kNadamWarmup = 1024;
inline constexpr std::array<double, kNadamWarmup + 1> kNadamProducts = [] {
  std::array<double, kNadamWarmup + 1> products{};
  double product = 1, power = 1;
  products[0] = product;
  for (int i = 1; i <= kNadamWarmup; ++i) {
    power *= 0.96;
    product *= 1 - 0.5 * power;
    products[static_cast<std::size_t>(i)] = product;
  }
  return products;
}();

template <class T>
struct Nadam : Moments<T> {
  T of_m, of_g, unbias;
  CK_INLINE explicit Nadam(const Call& call) : Moments<T>(call) {
    const UpdateParams& p = call.as<UpdateParams>();
    const double t = steps_of(call), eta = eta_of(call);
    const auto mu = [&](double i) { return p.beta1 * (1 - 0.5 * __builtin_pow(0.96, i)); };
    const auto settled = static_cast<std::size_t>(t < kNadamWarmup ? t : kNadamWarmup);
    const double product = __builtin_pow(p.beta1, t) * kNadamProducts[settled];
    of_m = static_cast<T>(eta * mu(t + 1) / (1 - product * mu(t + 1)));
    of_g = static_cast<T>(eta * (1 - mu(t)) / (1 - product));
    unbias = static_cast<T>(1 / (1 - __builtin_pow(p.beta2, t)));
  }
  CK_INLINE void operator()(T g, T& w, T& m, T& v) const {
    this->average(g, m, v);
    w -= (of_m * m + of_g * g) / (square_root(v * unbias) + this->epsilon);
  }
};

template <class T>
struct Adamax {
  T eta, rate1, beta2, epsilon;
  CK_INLINE explicit Adamax(const Call& call) {
    const UpdateParams& p = call.as<UpdateParams>();
    eta = static_cast<T>(eta_of(call) / (1.0 - __builtin_pow(p.beta1, steps_of(call))));
    rate1 = static_cast<T>(1.0 - p.beta1);
    beta2 = static_cast<T>(p.beta2);
    epsilon = static_cast<T>(p.epsilon);
  }
  CK_INLINE void operator()(T g, T& w, T& m, T& u) const {
    const T size = size_of(g), faded = beta2 * u;
    m += (g - m) * rate1;
    u = faded > size ? faded : size;
    w -= eta * m / (u + epsilon);
  }
};

template <class T>
struct Lion {
  T eta, beta1, rest1, beta2, rest2;
  CK_INLINE explicit Lion(const Call& call) {
    const UpdateParams& p = call.as<UpdateParams>();
    eta = static_cast<T>(eta_of(call));
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
