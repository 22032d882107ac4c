// The kernels of conv2d, best first.
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_plan.h"

namespace convkit {
namespace {

#if CK_HAVE_BLAS
Im2colPlan plan_of(const Call& call, int x, int w, int y) {
  return im2col_plan(conv2d_shape(call[x], call[w], call[y]), call.as<Conv2dParams>(),
                     call[0].dtype);
}
int64_t im2col_forward_workspace(const Call& call) {
  return plan_of(call, 0, 1, 3).forward_workspace();
}
int64_t im2col_backward_input_workspace(const Call& call) {
  return plan_of(call, 2, 1, 0).forward_workspace();
}
int64_t im2col_backward_weight_workspace(const Call& call) {
  return plan_of(call, 1, 2, 0).backward_weight_workspace();
}
#endif

ImplicitGemmPlan implicit_plan_of(Conv2dPass pass, const Call& call, int x, int w, int y) {
  return implicit_gemm_plan(pass, conv2d_shape(call[x], call[w], call[y]), call.as<Conv2dParams>(),
                            call[0].dtype);
}
int64_t implicit_gemm_forward_workspace(const Call& call) {
  return implicit_plan_of(Conv2dPass::forward, call, 0, 1, 3).workspace();
}
int64_t implicit_gemm_backward_input_workspace(const Call& call) {
  return implicit_plan_of(Conv2dPass::backward_input, call, 2, 1, 0).workspace();
}
int64_t implicit_gemm_backward_weight_workspace(const Call& call) {
  return implicit_plan_of(Conv2dPass::backward_weight, call, 1, 2, 0).workspace();
}
bool implicit_gemm_forward_fits(const Call& call) {
  return implicit_gemm_fits(call.as<Conv2dParams>()) &&
         implicit_gemm_forward_workspace(call) <= kConv2dScratchBytes;
}
bool implicit_gemm_backward_input_fits(const Call& call) {
  return implicit_gemm_fits(call.as<Conv2dParams>()) &&
         implicit_gemm_backward_input_workspace(call) <= kConv2dScratchBytes;
}
bool implicit_gemm_backward_weight_fits(const Call& call) {
  return implicit_gemm_fits(call.as<Conv2dParams>()) &&
         implicit_gemm_backward_weight_workspace(call) <= kConv2dScratchBytes;
}

constexpr Kernel rows[] = {
    {"forward", "cpu_implicit_gemm", kFloats, CK_PER_ISA(conv2d_implicit_gemm_forward),
     implicit_gemm_forward_fits, implicit_gemm_forward_workspace},
    {"backward_input", "cpu_implicit_gemm", kFloats,
     CK_PER_ISA(conv2d_implicit_gemm_backward_input), implicit_gemm_backward_input_fits,
     implicit_gemm_backward_input_workspace},
    {"backward_weight", "cpu_implicit_gemm", kFloats,
     CK_PER_ISA(conv2d_implicit_gemm_backward_weight), implicit_gemm_backward_weight_fits,
     implicit_gemm_backward_weight_workspace},
#if CK_HAVE_BLAS
    {"forward", "cpu_im2col", kFloats, CK_PER_ISA(conv2d_im2col_forward), nullptr,
     im2col_forward_workspace},
    {"backward_input", "cpu_im2col", kFloats, CK_PER_ISA(conv2d_im2col_backward_input), nullptr,
     im2col_backward_input_workspace},
    {"backward_weight", "cpu_im2col", kFloats, CK_PER_ISA(conv2d_im2col_backward_weight), nullptr,
     im2col_backward_weight_workspace},
#endif
    {"forward", "cpu_naive", kFloats, CK_PER_ISA(conv2d_naive_forward)},
    {"backward_input", "cpu_naive", kFloats, CK_PER_ISA(conv2d_naive_backward_input)},
    {"backward_weight", "cpu_naive", kFloats, CK_PER_ISA(conv2d_naive_backward_weight)},
};

constexpr ParamField fields[] = {
    CK_FIELD(Conv2dParams, stride_h),   CK_FIELD(Conv2dParams, stride_w),
    CK_FIELD(Conv2dParams, pad_top),    CK_FIELD(Conv2dParams, pad_bottom),
    CK_FIELD(Conv2dParams, pad_left),   CK_FIELD(Conv2dParams, pad_right),
    CK_FIELD(Conv2dParams, dilation_h), CK_FIELD(Conv2dParams, dilation_w),
    CK_FIELD(Conv2dParams, groups),     CK_CHOICE(Conv2dParams, activation, kActivationNames),
    CK_FIELD(Conv2dParams, alpha),
};

}  // namespace

extern const OpTable conv2d_table = {"conv2d", rows, fields, sizeof(Conv2dParams)};

}  // namespace convkit
