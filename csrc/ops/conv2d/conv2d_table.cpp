// The kernels of conv2d, best first.
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_correlation_plan.h"
#include "ops/conv2d/conv2d_plan.h"
#include "ops/conv2d/conv2d_weight_plan.h"
#include "ops/conv2d/conv2d_winograd_plan.h"
#include "ops/conv2d/conv2d_winograd_weight_plan.h"

namespace convkit {
namespace {

// The operands of a pass in the order x, w, y.
Conv2dShape shape_of(Conv2dPass pass, const Call& call) {
  switch (pass) {
    case Conv2dPass::backward_input:
      return conv2d_shape(call[3], call[1], call[0]);
    case Conv2dPass::backward_weight:
      return conv2d_shape(call[1], call[2], call[0]);
    case Conv2dPass::forward:
      break;
  }
  return conv2d_shape(call[0], call[1], call[3]);
}

// The pass as a correlation; the weight gradient is none.
template <Conv2dPass pass>
bool correlates(const Call& call) {
  if (pass == Conv2dPass::backward_weight) return false;
  return pass == Conv2dPass::forward ||
         backward_input_correlates(shape_of(pass, call), call.as<Conv2dParams>(), call[0].dtype);
}
template <Conv2dPass pass>
Correlation correlation_of(const Call& call) {
  const auto make = pass == Conv2dPass::forward ? forward_correlation : backward_input_correlation;
  return make(shape_of(pass, call), call.as<Conv2dParams>());
}

Workspace larger_of(const Workspace& a, const Workspace& b) {
  return a.bytes() < b.bytes() ? b : a;
}

template <Conv2dPass pass>
Workspace implicit_gemm_workspace(const Call& call) {
  const Conv2dShape s = shape_of(pass, call);
  const auto other = [&] {
    return implicit_gemm_plan(pass, s, call.as<Conv2dParams>(), call[0].dtype).workspace();
  };
  if (!correlates<pass>(call)) {
    const Conv2dParams& params = call.as<Conv2dParams>();
    const bool by_images =
        pass == Conv2dPass::backward_input && image_lanes_fit(s, params, call[0].dtype);
    return by_images ? larger_of(other(), image_lanes_plan(s, params).workspace()) : other();
  }
  const Workspace work = correlation_plan(correlation_of<pass>(call), call[0].dtype).workspace();
  return pass == Conv2dPass::forward && s.C == 1 ? larger_of(work, other()) : work;
}

// Runs that are added up, of few pixels: filters that do not stay in the cache are then better read
// by a product over the pixels of all images.
bool left_to_blas(const Conv2dShape& s, int64_t bytes) {
  const int64_t filters = checked_product(s.KH, s.KW, checked_product(s.C, s.K, bytes));
  return CK_HAVE_BLAS && filters > (int64_t{2} << 20) && checked_product(s.P, s.Q) <= 16;
}

template <Conv2dPass pass>
bool implicit_gemm_supports(const Call& call) {
  const Conv2dShape s = shape_of(pass, call);
  const bool fits = correlates<pass>(call)
                        ? correlation_fits(correlation_of<pass>(call))
                        : implicit_gemm_fits(s, call.as<Conv2dParams>()) &&
                              !left_to_blas(s, kDtypeBytes[static_cast<int>(call[0].dtype)]);
  return fits && implicit_gemm_workspace<pass>(call).bytes() <= kConv2dMaxWorkspace;
}

Workspace weight_gradient_workspace(const Call& call) {
  const Conv2dShape s = shape_of(Conv2dPass::backward_weight, call);
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Workspace work = weight_gradient_plan(s, params, call[0].dtype).workspace();
  if (!weight_pairs_fit(s, params, call[0].dtype)) return work;
  return larger_of(work, weight_pairs_plan(s, params).workspace());
}
bool weight_gradient_supports(const Call& call) {
  return weight_gradient_fits(shape_of(Conv2dPass::backward_weight, call),
                              call.as<Conv2dParams>()) &&
         weight_gradient_workspace(call).bytes() <= kConv2dMaxWorkspace;
}

template <Conv2dPass pass>
Workspace winograd_workspace(const Call& call) {
  return winograd_plan(correlation_of<pass>(call)).workspace();
}
template <Conv2dPass pass>
bool winograd_supports(const Call& call) {
  return winograd_fits(correlation_of<pass>(call)) &&
         winograd_workspace<pass>(call).bytes() <= kWinogradMaxWorkspace;
}

Workspace winograd_weight_workspace(const Call& call) {
  return winograd_weight_plan(shape_of(Conv2dPass::backward_weight, call), call.as<Conv2dParams>())
      .workspace();
}
bool winograd_weight_supports(const Call& call) {
  return winograd_weight_fits(shape_of(Conv2dPass::backward_weight, call),
                              call.as<Conv2dParams>()) &&
         winograd_weight_workspace(call).bytes() <= kConv2dMaxWorkspace;
}

template <Conv2dPass pass>
Workspace depthwise_workspace(const Call& call) {
  const DepthwisePlan plan = depthwise_plan(pass, shape_of(pass, call), call[0].dtype);
  return checked_product(plan.rows.count(), plan.part_bytes);
}
template <Conv2dPass pass>
bool depthwise_supports(const Call& call) {
  return depthwise_fits(shape_of(pass, call), call.as<Conv2dParams>()) &&
         depthwise_workspace<pass>(call).bytes() <= kConv2dMaxWorkspace;
}

#if CK_HAVE_BLAS
template <Conv2dPass pass>
Workspace im2col_workspace(const Call& call) {
  const Im2colPlan plan = im2col_plan(shape_of(pass, call), call.as<Conv2dParams>(), call[0].dtype);
  return pass == Conv2dPass::backward_weight ? plan.backward_weight_workspace()
                                             : plan.forward_workspace();
}
// Its columns may be large, but not of any size.
template <Conv2dPass pass>
bool im2col_supports(const Call& call) {
  return im2col_workspace<pass>(call).bytes() < kTooLarge;
}
#endif

constexpr Kernel rows[] = {
    {"forward", "cpu_depthwise", kFloats, CK_PER_ISA(conv2d_depthwise_forward),
     depthwise_supports<Conv2dPass::forward>},
    {"backward_input", "cpu_depthwise", kFloats, CK_PER_ISA(conv2d_depthwise_backward_input),
     depthwise_supports<Conv2dPass::backward_input>},
    {"backward_weight", "cpu_depthwise", kFloats, CK_PER_ISA(conv2d_depthwise_backward_weight),
     depthwise_supports<Conv2dPass::backward_weight>,
     depthwise_workspace<Conv2dPass::backward_weight>},
    {"forward", "cpu_winograd", kFloat32, CK_PER_ISA(conv2d_winograd_forward),
     winograd_supports<Conv2dPass::forward>, winograd_workspace<Conv2dPass::forward>},
    {"backward_input", "cpu_winograd", kFloat32, CK_PER_ISA(conv2d_winograd_backward_input),
     winograd_supports<Conv2dPass::backward_input>, winograd_workspace<Conv2dPass::backward_input>},
    {"backward_weight", "cpu_winograd", kFloat32, CK_PER_ISA(conv2d_winograd_backward_weight),
     winograd_weight_supports, winograd_weight_workspace},
    {"forward", "cpu_implicit_gemm", kFloats, CK_PER_ISA(conv2d_implicit_gemm_forward),
     implicit_gemm_supports<Conv2dPass::forward>, implicit_gemm_workspace<Conv2dPass::forward>},
    {"backward_input", "cpu_implicit_gemm", kFloats,
     CK_PER_ISA(conv2d_implicit_gemm_backward_input),
     implicit_gemm_supports<Conv2dPass::backward_input>,
     implicit_gemm_workspace<Conv2dPass::backward_input>},
    {"backward_weight", "cpu_implicit_gemm", kFloats,
     CK_PER_ISA(conv2d_implicit_gemm_backward_weight), weight_gradient_supports,
     weight_gradient_workspace},
#if CK_HAVE_BLAS
    {"forward", "cpu_im2col", kFloats, CK_PER_ISA(conv2d_im2col_forward),
     im2col_supports<Conv2dPass::forward>, im2col_workspace<Conv2dPass::forward>},
    {"backward_input", "cpu_im2col", kFloats, CK_PER_ISA(conv2d_im2col_backward_input),
     im2col_supports<Conv2dPass::backward_input>, im2col_workspace<Conv2dPass::backward_input>},
    {"backward_weight", "cpu_im2col", kFloats, CK_PER_ISA(conv2d_im2col_backward_weight),
     im2col_supports<Conv2dPass::backward_weight>, im2col_workspace<Conv2dPass::backward_weight>},
#endif
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(conv2d_naive_forward)},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(conv2d_naive_backward_input)},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(conv2d_naive_backward_weight)},
};

constexpr ParamField fields[] = {
    CK_FIELD(Conv2dParams, stride_h),      CK_FIELD(Conv2dParams, stride_w),
    CK_FIELD(Conv2dParams, pad_top),       CK_FIELD(Conv2dParams, pad_bottom),
    CK_FIELD(Conv2dParams, pad_left),      CK_FIELD(Conv2dParams, pad_right),
    CK_FIELD(Conv2dParams, dilation_h),    CK_FIELD(Conv2dParams, dilation_w),
    CK_FIELD(Conv2dParams, groups),        CK_CHOICE(Conv2dParams, activation, kActivationNames),
    CK_FIELD(Conv2dParams, alpha),         CK_CHOICE(Conv2dParams, through, kActivationNames),
    CK_FIELD(Conv2dParams, through_alpha),
};

}  // namespace

extern const OpTable conv2d_table = {"conv2d", rows, fields, sizeof(Conv2dParams)};

}  // namespace convkit
