// The weight gradient of a convolution as a matrix product whose left operand is the image itself;
// see conv2d_weight_gradient.h.
#include "gemm/tree_sum.h"
#include "ops/conv2d/conv2d_weight_gradient.h"

namespace convkit::CK_ISA {

void conv2d_implicit_gemm_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const WeightGradient<T> wg(s, params, call[0].dtype);
    const WeightGradientPlan& plan = wg.plan;
    const T* const dy = call[0].as<T>();
    T* const dw = call[2].as<T>();
    T* const db = call[3].as<T>();
    const int64_t weights = s.KH * s.KW * plan.C * s.K;
    const int64_t part_values = plan.part_bytes / int64_t{sizeof(T)};
    T* const part_sums = reinterpret_cast<T*>(call.workspace + plan.slots * plan.slot_bytes);
    const bool shared = plan.parts == 1;  // a part that is the whole writes where that belongs
    call.pool->parallel_for(
        plan.parts * plan.blocks,
        [&](int64_t unit, int thread) {
          const int64_t part = unit / plan.blocks;
          const WeightBlock block(plan, unit % plan.blocks);
          const WeightScratch<T> scratch(plan, call.workspace + thread * plan.slot_bytes);
          T* const to = shared ? dw : part_sums + part * part_values;
          const int64_t k = block.g * plan.K + block.k0;
          T* bias = shared ? db : to + weights;
          bias = db == nullptr || block.c0 > 0 ? nullptr : bias + k;
          if (bias != nullptr) clear_run(bias, block.k1 - block.k0);
          const int64_t first = plan.first_task(part);
          for (int64_t index = first; index < plan.first_task(part + 1); ++index) {
            const WeightTask task(plan, index);
            const Pixels<T> image = weight_image(wg, block, task, call[1].as<T>(), scratch.image);
            const Pixels<T> rows = {dy + (task.n0 * s.P + task.r0) * s.Q * s.K + k, s.P * s.Q * s.K,
                                    s.Q * s.K, s.K};
            add_weight_gradient(wg, block, task, image, rows, index > first, scratch.sums, bias,
                                scratch.dy);
          }
          write_block(wg, block, scratch.sums, to);
        },
        plan.max_threads());
    if (shared) return;
    if (db != nullptr) {
      tree_sum(call.pool, part_sums + weights, plan.parts, part_values, s.K, db);
    }
    tree_sum(call.pool, part_sums, plan.parts, part_values, weights, dw);
  });
}

}  // namespace convkit::CK_ISA
