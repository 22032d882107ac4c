// backward_input where it is no correlation: what a pixel of dy gives to the image through a filter
// row is a run of KW*C neighbours, and the runs are added up. For kernel sources only (core/isa.h).
#pragma once

#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d_implicit_gemm.h"

namespace convkit::CK_ISA {

// All of dx. rows(n, begin, end, thread) says where row 0 of dy of image n is, or would be: only
// rows [begin, end) are read.
template <class T, class Rows>
void backward_input_by_runs(const Conv2dShape& s, const Conv2dParams& params,
                            const ImplicitGemmPlan& plan, const T* w, const Rows& rows,
                            std::byte* workspace, ThreadPool* pool, T* dx,
                            const Through<T>& through) {
  // Per filter row [K, KW*C]: the transpose of what w holds.
  const Panels<T> panels{s.KH * s.K, plan.run};
  T* const packed = reinterpret_cast<T*>(workspace);
  pool->parallel_for(
      panels.count(),
      [&](int64_t panel, int) {
        for (int64_t i = 0; i < s.KH; ++i) {
          panels.pack_transposed(panel, i * s.K, s.K, w + i * plan.run * s.K, packed);
        }
      },
      plan.max_threads());

  const int64_t width = s.W * s.C;
  pool->parallel_for(
      plan.tasks(),
      [&](int64_t index, int thread) {
        const ConvTask task(plan, index);
        // Rows of dx, border included. There the runs of neighbouring pixels are added up.
        T* const lines =
            reinterpret_cast<T*>(workspace + plan.shared_bytes + thread * plan.slot_bytes);
        const int64_t top = task.r0 + params.pad_top - (s.KH - 1) * params.dilation_h;
        const int64_t begin = top > 0 ? ceil_div(top, params.stride_h) : 0;
        const int64_t end = smaller((task.r1 - 1 + params.pad_top) / params.stride_h + 1, s.P);
        for (int64_t n = task.n0; n < task.n1; ++n) {
          const T* const dy = rows(n, begin, larger(begin, end), thread);
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
                          s, params, h + params.pad_top, i, smaller(i + sweep, s.KH), dy + q * s.K,
                          b, line + q * params.stride_w * s.C, panels.last_lanes(panel));
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
}

}  // namespace convkit::CK_ISA
