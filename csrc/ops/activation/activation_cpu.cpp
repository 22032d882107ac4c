#include "ops/activation/activation_apply.h"
#include "simd/math.h"

namespace convkit::CK_ISA {
namespace {

struct Kind {
  Activation activation;
  double alpha;
};

Kind kind_of(const Call& call) {
  const ActivationParams& params = call.as<ActivationParams>();
  return {static_cast<Activation>(params.activation), params.alpha};
}

// Calls body(d) with the vectorised derivative given x, as with_activation does with f. The
// formulas, NaN included, are those of activate_derivative_from_input.
template <class T, class Body>
CK_INLINE void with_derivative_from_input(Kind kind, const Body& body) {
  using V = Vec<T>;
  const V zero = V::zero(), one = T(1), slope = T(kind.alpha);
  switch (kind.activation) {
    case Activation::linear:
      return body([=](V) { return one; });
    case Activation::relu:
      return body([=](V x) { return select(x > zero, one, zero); });
    case Activation::leaky_relu:
      return body([=](V x) { return select(x > zero, one, slope); });
    case Activation::sigmoid:
      return body([=](V x) {
        const V s = sigmoid(x);
        return s * (one - s);
      });
    case Activation::tanh:
      return body([=](V x) {
        const V t = tanh(x);
        return fma(-t, t, one);
      });
    case Activation::scaled_tanh:
      return body([=](V x) {
        const V t = tanh(T(kTanhSlope) * x);
        return T(kTanhScale * kTanhSlope) * fma(-t, t, one);
      });
    case Activation::hardtanh:
      return body([=](V x) { return select((x > V(T(-1))) & (x < one), one, zero); });
    case Activation::hard_sigmoid:
      return body(
          [=](V x) { return select((x > V(T(-3))) & (x < V(T(3))), V(T(1) / T(6)), zero); });
    case Activation::elu:
      return body([=](V x) { return select(x > zero, one, slope * exp(x)); });
    case Activation::selu:
      return body([=](V x) {
        return select(x > zero, V(T(kSeluScale)), T(kSeluScale * kSeluAlpha) * exp(x));
      });
    case Activation::softplus:
      return body([](V x) { return sigmoid(x); });
    case Activation::softsign:
      return body([=](V x) {
        const V d = one / (one + abs(x));
        return d * d;
      });
    case Activation::gelu:
      return body([=](V x) {
        const V density = T(0.39894228040143268) * exp(T(-0.5) * x * x);
        return fma(x, density, T(0.5) * (one + erf(x * T(0.70710678118654752))));
      });
    case Activation::silu:
      return body([=](V x) {
        const V s = sigmoid(x);
        return fma(x * s, one - s, s);
      });
    case Activation::exponential:
      return body([](V x) { return exp(x); });
    case Activation::step:
      return body([=](V) { return zero; });
  }
}

// Calls full(i) for whole vectors, then rest(i, n) for what is left: the same formula for both,
// so that a value does not depend on its place.
template <class T, class Full, class Rest>
CK_INLINE void each_vector(const Call& call, int64_t n, const Full& full, const Rest& rest) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  const Chunks chunks{n, 32768};
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    int64_t i = chunks.begin(chunk);
    const int64_t end = chunks.end(chunk);
    for (; i + lanes <= end; i += lanes) full(i);
    if (i < end) rest(i, static_cast<int>(end - i));
  });
}

// dx = dy * derivative(z), z being x or y.
template <class T, class Derivative>
CK_INLINE void multiply(const Call& call, const Derivative& derivative) {
  using V = Vec<T>;
  const T* dy = call[0].as<T>();
  const T* z = call[1].as<T>();
  T* dx = call[2].as<T>();
  each_vector<T>(
      call, call[2].size(),
      [=](int64_t i) { (V::loadu(dy + i) * derivative(V::loadu(z + i))).storeu(dx + i); },
      [=](int64_t i, int n) {
        const V d = derivative(V::load_partial(z + i, n));
        (V::load_partial(dy + i, n) * d).store_partial(dx + i, n);
      });
}

}  // namespace

void activation_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Kind kind = kind_of(call);
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    for (int64_t i = 0; i < call[1].size(); ++i) {
      y[i] = activate(kind.activation, T(kind.alpha), x[i]);
    }
  });
}

void activation_naive_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Kind kind = kind_of(call);
    const T* dy = call[0].as<T>();
    const T* x = call[1].as<T>();
    T* dx = call[2].as<T>();
    for (int64_t i = 0; i < call[2].size(); ++i) {
      dx[i] = dy[i] * activate_derivative_from_input(kind.activation, T(kind.alpha), x[i]);
    }
  });
}

void activation_naive_backward_from_output(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Kind kind = kind_of(call);
    const T* dy = call[0].as<T>();
    const T* y = call[1].as<T>();
    T* dx = call[2].as<T>();
    for (int64_t i = 0; i < call[2].size(); ++i) {
      dx[i] = dy[i] * activate_derivative_from_output(kind.activation, T(kind.alpha), y[i]);
    }
  });
}

void activation_simd_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    using V = Vec<T>;
    const Kind kind = kind_of(call);
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    with_activation<T>(kind.activation, kind.alpha, [&](const auto& f) {
      each_vector<T>(
          call, call[1].size(), [=](int64_t i) { f(V::loadu(x + i)).storeu(y + i); },
          [=](int64_t i, int n) { f(V::load_partial(x + i, n)).store_partial(y + i, n); });
    });
  });
}

void activation_simd_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    with_derivative_from_input<T>(kind_of(call), [&](const auto& d) { multiply<T>(call, d); });
  });
}

void activation_simd_backward_from_output(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Kind kind = kind_of(call);
    with_derivative_from_output<T>(kind.activation, kind.alpha,
                                   [&](const auto& d) { multiply<T>(call, d); });
  });
}

}  // namespace convkit::CK_ISA
