// The passes of activation by the value, and as stages.
#pragma once

#include "cuda/stages.cuh"
#include "ops/activation/activation_formula.h"

namespace convkit::cuda {

template <class T>
struct Apply {
  Activation kind;
  T alpha;
  CK_DEVICE T operator()(T x) const { return activate(kind, alpha, x); }
};

template <class T>
struct FromInput {
  Activation kind;
  T alpha;
  CK_DEVICE T operator()(T dy, T x) const {
    return dy * activate_derivative_from_input(kind, alpha, x);
  }
};

template <class T>
struct FromOutput {
  Activation kind;
  T alpha;
  CK_DEVICE T operator()(T dy, T y) const {
    return dy * activate_derivative_from_output(kind, alpha, y);
  }
};

template <template <class> class F, class T>
F<T> formula(const Call& call) {
  const ActivationParams& params = call.as<ActivationParams>();
  return {static_cast<Activation>(params.activation), static_cast<T>(params.alpha)};
}

template <StageKind pass>
struct ActivationStage : StageBody {
  static constexpr StageKind kKind = pass;
  static constexpr bool kForward = pass == StageKind::activation_forward;
  static constexpr unsigned kBySample = kForward ? operands(0, 1) : operands(0, 1, 2);
  ActivationParams params;
  const float *in, *saved;
  float* to;
  int64_t length;  // of a sample

  explicit ActivationStage(const convkit::Call& call)
      : params(call.as<ActivationParams>()),
        in(call[0].as<float>()),
        saved(call[kForward ? 0 : 1].as<float>()),
        to(call[kForward ? 1 : 2].as<float>()),
        length(sample_size(call[0])) {}

  CK_DEVICE void sample(const Samples& s) const {
    const auto kind = static_cast<Activation>(params.activation);
    const float alpha = static_cast<float>(params.alpha);
    s.each(length, [&](int64_t i) {
      if constexpr (kForward) to[i] = Apply<float>{kind, alpha}(in[i]);
      if constexpr (pass == StageKind::activation_from_input)
        to[i] = FromInput<float>{kind, alpha}(in[i], saved[i]);
      if constexpr (pass == StageKind::activation_from_output)
        to[i] = FromOutput<float>{kind, alpha}(in[i], saved[i]);
    });
  }
};

}  // namespace convkit::cuda
