// The kernels of conv2d_pool, best first.
#include "ops/conv2d_pool/conv2d_pool.h"
#include "ops/conv2d_pool/conv2d_pool_plan.h"

namespace convkit {
namespace {

bool positions_fit(const Conv2dPoolParams& p) {
  return checked_product(p.window_h, p.window_w) <= kConv2dPoolMaxPositions;
}

Conv2dPoolPlan forward_plan(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[0], call[1], params);
  return conv2d_pool_plan(s, params, call[3].shape[1], call[0].dtype);
}
Workspace forward_workspace(const Call& call) { return forward_plan(call).conv.workspace(); }
bool forward_supports(const Call& call) {
  const Conv2dPoolPlan plan = forward_plan(call);
  // One channel and few filters: conv2d has tiles for these.
  const int64_t bytes = kDtypeBytes[static_cast<int>(call[0].dtype)];
  if (plan.c.s.C == 1 && checked_product(2, plan.c.s.K, bytes) <= 64) return false;
  return correlation_fits(plan.c) && positions_fit(call.as<Conv2dPoolParams>()) &&
         conv2d_pool_divides(plan, call[0].dtype) &&
         plan.conv.workspace().bytes() <= kConv2dMaxWorkspace;
}

Workspace backward_input_workspace(const Call& call) {
  const auto& pooled = call.as<Conv2dPoolParams>();
  const Conv2dParams params = conv2d_of(pooled);
  const Conv2dShape s = conv2d_pool_shape(call[5], call[1], pooled);
  const Dtype dtype = call[0].dtype;
  if (backward_input_correlates(s, params, dtype)) {
    return made_rows_plan(backward_input_correlation(s, params), dtype).workspace();
  }
  const ImplicitGemmPlan plan = implicit_gemm_plan(Conv2dPass::backward_input, s, params, dtype);
  const int64_t made = made_rows_bytes(s, pooled, plan, dtype);
  return {plan.shared_bytes, plan.slots, checked_sum(plan.slot_bytes, made)};
}
bool backward_input_supports(const Call& call) {
  const auto& pooled = call.as<Conv2dPoolParams>();
  const Conv2dParams params = conv2d_of(pooled);
  const Conv2dShape s = conv2d_pool_shape(call[5], call[1], pooled);
  const bool fits = backward_input_correlates(s, params, call[0].dtype)
                        ? correlation_fits(backward_input_correlation(s, params))
                        : implicit_gemm_fits(s, params);
  return fits && positions_fit(pooled) &&
         backward_input_workspace(call).bytes() <= kConv2dMaxWorkspace;
}

Workspace backward_weight_workspace(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[1], call[4], params);
  const WeightGradientPlan plan = weight_gradient_plan(s, conv2d_of(params), call[0].dtype);
  const int64_t made = made_rows_bytes(s, plan, call[0].dtype);
  return {plan.shared_bytes(), plan.slots, checked_sum(plan.slot_bytes, made)};
}
bool backward_weight_supports(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[1], call[4], params);
  return weight_gradient_fits(s, conv2d_of(params)) && positions_fit(params) &&
         backward_weight_workspace(call).bytes() <= kConv2dMaxWorkspace;
}

Correlation winograd_forward(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  return forward_correlation(conv2d_pool_shape(call[0], call[1], params), conv2d_of(params));
}
Workspace winograd_forward_workspace(const Call& call) {
  return winograd_plan(winograd_forward(call)).workspace();
}
bool winograd_forward_supports(const Call& call) {
  return winograd_fits(winograd_forward(call)) && winograd_pools(call.as<Conv2dPoolParams>()) &&
         winograd_forward_workspace(call).bytes() <= kWinogradMaxWorkspace;
}

Correlation winograd_backward_input(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  return backward_input_correlation(conv2d_pool_shape(call[5], call[1], params), conv2d_of(params));
}
Workspace winograd_backward_input_workspace(const Call& call) {
  return winograd_unpool_plan(winograd_backward_input(call)).workspace();
}
bool winograd_backward_input_supports(const Call& call) {
  return winograd_fits(winograd_backward_input(call)) &&
         positions_fit(call.as<Conv2dPoolParams>()) &&
         winograd_backward_input_workspace(call).bytes() <= kWinogradMaxWorkspace;
}

Workspace winograd_backward_weight_workspace(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[1], call[4], params);
  return winograd_unpool_weight_plan(s, conv2d_of(params)).workspace();
}
bool winograd_backward_weight_supports(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[1], call[4], params);
  return winograd_weight_fits(s, conv2d_of(params)) && positions_fit(params) &&
         winograd_backward_weight_workspace(call).bytes() <= kConv2dMaxWorkspace;
}

constexpr Kernel rows[] = {
    {"forward", "cpu_winograd", kFloat32, CK_PER_ISA(conv2d_pool_winograd_forward),
     winograd_forward_supports, winograd_forward_workspace},
    {"backward_input", "cpu_winograd", kFloat32, CK_PER_ISA(conv2d_pool_winograd_backward_input),
     winograd_backward_input_supports, winograd_backward_input_workspace},
    {"backward_weight", "cpu_winograd", kFloat32, CK_PER_ISA(conv2d_pool_winograd_backward_weight),
     winograd_backward_weight_supports, winograd_backward_weight_workspace},
    {"forward", "cpu_implicit_gemm", kFloats, CK_PER_ISA(conv2d_pool_implicit_gemm_forward),
     forward_supports, forward_workspace},
    {"backward_input", "cpu_implicit_gemm", kFloats,
     CK_PER_ISA(conv2d_pool_implicit_gemm_backward_input), backward_input_supports,
     backward_input_workspace},
    {"backward_weight", "cpu_implicit_gemm", kFloats,
     CK_PER_ISA(conv2d_pool_implicit_gemm_backward_weight), backward_weight_supports,
     backward_weight_workspace},
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(conv2d_pool_naive_forward)},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(conv2d_pool_naive_backward_input)},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(conv2d_pool_naive_backward_weight)},
};

constexpr ParamField fields[] = {
    CK_FIELD(Conv2dPoolParams, stride_h),
    CK_FIELD(Conv2dPoolParams, stride_w),
    CK_FIELD(Conv2dPoolParams, pad_top),
    CK_FIELD(Conv2dPoolParams, pad_bottom),
    CK_FIELD(Conv2dPoolParams, pad_left),
    CK_FIELD(Conv2dPoolParams, pad_right),
    CK_FIELD(Conv2dPoolParams, dilation_h),
    CK_FIELD(Conv2dPoolParams, dilation_w),
    CK_FIELD(Conv2dPoolParams, groups),
    CK_CHOICE(Conv2dPoolParams, activation, kActivationNames),
    CK_FIELD(Conv2dPoolParams, alpha),
    CK_CHOICE(Conv2dPoolParams, through, kActivationNames),
    CK_FIELD(Conv2dPoolParams, through_alpha),
    CK_FIELD(Conv2dPoolParams, window_h),
    CK_FIELD(Conv2dPoolParams, window_w),
    CK_FIELD(Conv2dPoolParams, pool_stride_h),
    CK_FIELD(Conv2dPoolParams, pool_stride_w),
    CK_FIELD(Conv2dPoolParams, pool_pad_top),
    CK_FIELD(Conv2dPoolParams, pool_pad_bottom),
    CK_FIELD(Conv2dPoolParams, pool_pad_left),
    CK_FIELD(Conv2dPoolParams, pool_pad_right),
};

}  // namespace

extern const OpTable conv2d_pool_table = {"conv2d_pool", rows, fields, sizeof(Conv2dPoolParams)};

}  // namespace convkit
