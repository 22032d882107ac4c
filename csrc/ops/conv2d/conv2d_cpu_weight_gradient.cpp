// The weight gradient of a convolution as a matrix product whose left operand is the image itself;
// see conv2d_implicit_gemm.h. For one group and no horizontal dilation.
#include "gemm/column_sums.h"
#include "gemm/tree_sum.h"
#include "ops/conv2d/conv2d_implicit_gemm.h"
#include "ops/conv2d/conv2d_weight_tiles.h"

namespace convkit::CK_ISA {

void conv2d_implicit_gemm_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  const ImplicitGemmPlan plan =
      implicit_gemm_plan(Conv2dPass::backward_weight, s, params, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const x = call[1].as<T>();
    T* const dw = call[2].as<T>();
    T* const db = call[3].as<T>();
    const int64_t fold = choose_fold<T>(s, params);
    const int64_t run = plan.run + (fold - 1) * params.stride_w * s.C;
    const Panels<T> panels{0, fold * s.K};
    const int64_t sums = s.KH * run * fold * s.K;  // in a part; the bias gradient follows
    const int64_t parts = plan.parts.count();
    T* const part_sums = reinterpret_cast<T*>(call.workspace);
    const int64_t stride = plan.part_bytes / int64_t{sizeof(T)};
    const Chunks filter_rows{s.KH, ceil_div(s.KH, plan.splits)};

    call.pool->parallel_for(
        parts * plan.splits,
        [&](int64_t chunk, int thread) {
          const int64_t part = chunk / plan.splits, split = chunk % plan.splits;
          const int64_t i0 = filter_rows.begin(split), i1 = filter_rows.end(split);
          T* const scratch = reinterpret_cast<T*>(
              call.workspace + larger(parts, 1) * plan.part_bytes + thread * plan.slot_bytes);
          T* const tail = scratch + (plan.slot_bytes - plan.tail_bytes) / int64_t{sizeof(T)};
          T* const to = part_sums + part * stride;
          const int64_t first = plan.parts.begin(part);
          for (int64_t index = first; index < plan.parts.end(part); ++index) {
            const ConvTask task(plan, index);
            const ConvView<T> view = view_of(s, params, plan, task, x, scratch);
            const int64_t begin = (task.n0 * s.P + task.r0) * s.Q;
            WeightTile t;
            t.images = task.n1 - task.n0, t.rows = task.r1 - task.r0;
            t.Q = s.Q / fold, t.K = fold * s.K;
            t.pixel = fold * params.stride_w * s.C;
            t.row = params.dilation_h * view.row, t.next = params.stride_h * view.row;
            t.image = view.image, t.run = run;
            t.add = index > first;
            // The vectors of the last pixels may reach beyond the end of dy.
            const int64_t row = s.Q * s.K, count = (t.images - 1) * s.P + t.rows;
            const int64_t beyond = t.K % Vec<T>::kLanes == 0 ? 0 : ceil_div(Vec<T>::kLanes, row);
            t.safe = larger(smaller(count, s.N * s.P - begin / s.Q - beyond), 0);
            copy_run(dy + begin * s.K + t.safe * row, (count - t.safe) * row, tail);
            for (int64_t panel = 0; panel < panels.count(); ++panel) {
              t.last = panels.last_lanes(panel);
              const int64_t column = panels.first(panel);
              with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
                backward_weight_panel<T, NV>(t, i0, i1, view.data, dy + begin * s.K + column,
                                             tail + column, to + column);
              });
            }
            if (db != nullptr && split == 0) {
              column_sums(dy + begin * s.K, count * s.Q, s.K, to + sums, t.add);
            }
          }
        },
        plan.max_threads());

    if (db != nullptr) tree_sum(call.pool, part_sums + sums, parts, stride, s.K, db);
    tree_sum(call.pool, part_sums, parts, stride, sums, fold == 1 ? dw : part_sums);
    if (fold == 1) return;
    for (int64_t i = 0; i < s.KH; ++i) {
      for (int64_t j = 0; j < plan.run; ++j) {
        for (int64_t k = 0; k < s.K; ++k) {
          T sum = 0;
          for (int64_t f = 0; f < fold; ++f) {
            const int64_t row = i * run + j + f * params.stride_w * s.C;
            sum += part_sums[(row * fold + f) * s.K + k];
          }
          dw[(i * plan.run + j) * s.K + k] = sum;
        }
      }
    }
  });
}

}  // namespace convkit::CK_ISA
