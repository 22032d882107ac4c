// Convolution by Winograd's method, float32: 3x3 and 5x5 filters of stride 1; see
// conv2d_winograd.h.
#include "ops/conv2d/conv2d_winograd.h"

namespace convkit::CK_ISA {

void conv2d_winograd_forward(const Call& call) {
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const Correlation c = forward_correlation(s, call.as<Conv2dParams>());
  const float* const x = call[0].as<float>();
  run_winograd(
      winograd_pass(c, winograd_plan(c), call[1].as<const float>(), call[2].as<const float>(),
                    call.workspace),
      call.pool, [&](int64_t n, int64_t, int64_t, int) { return x + n * s.H * s.W * s.C; },
      call[3].as<float>());
}

void conv2d_winograd_backward_input(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[3], call[1], call[0]);
  const Correlation c = backward_input_correlation(s, params);
  const float* const dy = call[0].as<float>();
  run_winograd(
      winograd_pass(c, winograd_plan(c), call[1].as<const float>(), nullptr, call.workspace,
                    Through<float>(params, call[2], call[3])),
      call.pool, [&](int64_t n, int64_t, int64_t, int) { return dy + n * s.P * s.Q * s.K; },
      call[3].as<float>());
}

}  // namespace convkit::CK_ISA
