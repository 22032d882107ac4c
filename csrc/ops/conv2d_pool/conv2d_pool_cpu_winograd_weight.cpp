// The weight gradient of conv2d_pool by Winograd's algorithm, float32: as that of conv2d, from rows
// of dz that are made for a row of tiles.
#include "ops/conv2d/conv2d_winograd_weight.h"
#include "ops/conv2d_pool/conv2d_pool_plan.h"
#include "ops/conv2d_pool/conv2d_pool_rows.h"

namespace convkit::CK_ISA {

void conv2d_pool_winograd_backward_weight(const Call& call) {
  const auto& pooled = call.as<Conv2dPoolParams>();
  const Conv2dParams params = conv2d_of(pooled);
  const Conv2dShape s = conv2d_pool_shape(call[1], call[4], pooled);
  const WinogradWeightPlan plan = winograd_unpool_weight_plan(s, params);
  const UnpoolRow<float> unpool = unpool_row<float>(s, pooled, call[0], call[2], call[3]);
  std::byte* const slots = call.workspace + plan.shared_bytes();
  const int64_t scratch = plan.slot_bytes - made_rows_bytes(s, plan);
  const auto rows = [&](const WeightBlock& block, int64_t n, int64_t p0, int64_t p1, int thread) {
    float* const dz = reinterpret_cast<float*>(slots + thread * plan.slot_bytes + scratch);
    const int64_t first = block.g * plan.K, K = block.K(), row = s.Q * K;
    for (int64_t p = p0; p < p1; ++p) {
      unpool(n, p, first + block.k0, first + block.k1, dz + (p - p0) * row, K);
    }
    return WinogradImage{dz - p0 * row, s.P, s.Q, row, K, 0};
  };
  const auto gradient = s.KH == 3 ? winograd_weight_gradient<3, decltype(rows)>
                                  : winograd_weight_gradient<5, decltype(rows)>;
  gradient(s, params, plan, call.pool, call.workspace, call[1].as<const float>(), rows,
           call[4].as<float>(), call[5].as<float>());
}

}  // namespace convkit::CK_ISA
