// Convolution as a matrix product whose left operand is the image itself: as a correlation
// (conv2d_correlation.h) or, for strided gradients and those of few channels, by runs that are
// added up (conv2d_input_runs.h; for one group and no horizontal dilation) or with one image to a
// lane (conv2d_input_images.h).
#include "ops/conv2d/conv2d_correlation.h"
#include "ops/conv2d/conv2d_implicit_gemm.h"
#include "ops/conv2d/conv2d_input_images.h"
#include "ops/conv2d/conv2d_input_runs.h"
#include "ops/conv2d/conv2d_pixel_pairs.h"

namespace convkit::CK_ISA {

void conv2d_implicit_gemm_forward(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const Correlation c = forward_correlation(s, params);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (pixel_pairs_fit<T>(s, params)) return forward_by_pixel_pairs<T>(call);
    const T* const x = call[0].as<T>();
    run(correlation_pass(c, correlation_plan(c, call[0].dtype), x, call[1].as<T>(),
                         static_cast<const T*>(call[2].as<T>()), call.workspace),
        call.pool, LoadRow<T>{x, s.H, s.W, s.C}, call[3].as<T>());
  });
}

void conv2d_implicit_gemm_backward_input(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[3], call[1], call[0]);
  if (backward_input_correlates(s, params, call[0].dtype)) {
    const Correlation c = backward_input_correlation(s, params);
    return dispatch_float(call[0].dtype, [&]<class T>(T) {
      const T* const dy = call[0].as<T>();
      run(correlation_pass(c, correlation_plan(c, call[0].dtype), dy, call[1].as<T>(),
                           static_cast<const T*>(nullptr), call.workspace,
                           Through<T>(params, call[2], call[3])),
          call.pool, LoadRow<T>{dy, s.P, s.Q, s.K}, call[3].as<T>());
    });
  }
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    if constexpr (kImageLanes<T>) {
      if (image_lanes_fit(s, params, call[0].dtype)) {
        const auto by_images =
            s.KW == 3 ? backward_input_by_images<T, 3> : backward_input_by_images<T, 5>;
        return by_images(s, params, dy, call[1].as<const T>(), call.workspace, call.pool,
                         call[3].as<T>(), Through<T>(params, call[2], call[3]));
      }
    }
    backward_input_by_runs(
        s, params, implicit_gemm_plan(Conv2dPass::backward_input, s, params, call[0].dtype),
        call[1].as<const T>(),
        [&](int64_t n, int64_t, int64_t, int) { return dy + n * s.P * s.Q * s.K; }, call.workspace,
        call.pool, call[3].as<T>(), Through<T>(params, call[2], call[3]));
  });
}

}  // namespace convkit::CK_ISA
