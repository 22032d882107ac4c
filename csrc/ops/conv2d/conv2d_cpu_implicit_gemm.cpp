// Convolution as a matrix product whose left operand is the image itself; see
// conv2d_implicit_gemm.h. For one group and no horizontal dilation.
#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d_correlation.h"
#include "ops/conv2d/conv2d_implicit_gemm.h"
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
  const ImplicitGemmPlan plan =
      implicit_gemm_plan(Conv2dPass::backward_input, s, params, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    T* const dx = call[3].as<T>();
    const Through<T> through(params, call[2], call[3]);
    // Per filter row [K, KW*C]: the transpose of what w holds.
    const Panels<T> panels{s.KH * s.K, plan.run};
    T* const packed = reinterpret_cast<T*>(call.workspace);
    call.pool->parallel_for(
        panels.count(),
        [&](int64_t panel, int) {
          for (int64_t i = 0; i < s.KH; ++i) {
            panels.pack_transposed(panel, i * s.K, s.K, call[1].as<T>() + i * plan.run * s.K,
                                   packed);
          }
        },
        plan.max_threads());

    const int64_t width = s.W * s.C;
    call.pool->parallel_for(
        plan.tasks(),
        [&](int64_t index, int thread) {
          const ConvTask task(plan, index);
          // Rows of dx, border included. There the runs of neighbouring pixels are added up.
          T* const lines =
              reinterpret_cast<T*>(call.workspace + plan.shared_bytes + thread * plan.slot_bytes);
          for (int64_t n = task.n0; n < task.n1; ++n) {
            clear_run(lines, (task.r1 - task.r0) * plan.row);
            for (int64_t panel = 0; panel < panels.count(); ++panel) {
              with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
                const int64_t first = panels.first(panel), terms = s.K * panels.width(panel);
                const int64_t sweep = rows_per_sweep<T>(s.KH, terms);
                for (int64_t i = 0; i < s.KH; i += sweep) {
                  const T* const b = packed + panels.offset(panel) + i * terms;
                  for (int64_t h = task.r0; h < task.r1; ++h) {
                    T* const line = lines + (h - task.r0) * plan.row + first;
                    for_each_tile(s.Q, tile_rows<T>(NV), [&](int64_t q, int size) {
                      with_int<tile_rows<T>(NV)>(size, [&]<int MR>(Int<MR>) {
                        backward_input_tile<T, MR, NV>(
                            s, params, h + params.pad_top, i, smaller(i + sweep, s.KH),
                            dy + (n * s.P * s.Q + q) * s.K, b, line + q * params.stride_w * s.C,
                            panels.last_lanes(panel));
                      });
                    });
                  }
                }
              });
            }
            for (int64_t h = task.r0; h < task.r1; ++h) {
              copy_run(lines + (h - task.r0) * plan.row + params.pad_left * s.C, width,
                       dx + (n * s.H + h) * width);
              through((n * s.H + h) * width, width);
            }
          }
        },
        plan.max_threads());
  });
}

}  // namespace convkit::CK_ISA
