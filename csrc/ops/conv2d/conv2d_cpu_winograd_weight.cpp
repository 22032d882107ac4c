// The weight gradient of a convolution by Winograd's algorithm, float32; see
// conv2d_winograd_weight.h.
#include "ops/conv2d/conv2d_winograd_weight.h"

namespace convkit::CK_ISA {

void conv2d_winograd_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  const WinogradWeightPlan plan = winograd_weight_plan(s, params);
  const float* const dy = call[0].as<float>();
  const auto rows = [&](const WeightBlock& block, int64_t n, int64_t, int64_t, int) {
    const int64_t row = s.Q * s.K, size = s.P * row;
    const float* const image = dy + n * size + block.g * plan.K + block.k0;
    return WinogradImage{image, s.P, s.Q, row, s.K, size};
  };
  const auto gradient = s.KH == 3 ? winograd_weight_gradient<3, decltype(rows)>
                                  : winograd_weight_gradient<5, decltype(rows)>;
  gradient(s, params, plan, call.pool, call.workspace, call[1].as<const float>(), rows,
           call[2].as<float>(), call[3].as<float>());
}

}  // namespace convkit::CK_ISA
