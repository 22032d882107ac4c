// The weight gradient of a convolution as a matrix product whose left operand is the image itself;
// see conv2d_weight_gradient.h.
#include "ops/conv2d/conv2d_pixel_pairs.h"
#include "ops/conv2d/conv2d_weight_gradient.h"

namespace convkit::CK_ISA {

void conv2d_implicit_gemm_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  if (kPixelPairs && weight_pairs_fit(s, params, call[0].dtype)) {
    return backward_weight_by_pixel_pairs(call);
  }
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const WeightGradient<T> wg(s, params, call[0].dtype);
    const auto rows = [&](const WeightBlock& block, const ConvTask& task, int) {
      const T* const dy = call[0].as<T>() + (task.n0 * s.P + task.r0) * s.Q * s.K;
      return Pixels<T>{dy + block.g * wg.plan.K + block.k0, s.P * s.Q * s.K, s.Q * s.K, s.K};
    };
    run_weight_gradient(wg, call.pool, call.workspace, call[1].as<const T>(), rows, call[2].as<T>(),
                        call[3].as<T>());
  });
}

}  // namespace convkit::CK_ISA
