// The CUDA rows of conv2d, and those of them that are plain: a thread for each result, or each part
// of a sum.
#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "cuda/split_sums.cuh"
#include "ops/activation/activation_formula.h"
#include "ops/conv2d/conv2d_cuda_products.h"
#include "ops/conv2d/conv2d_stage.cuh"

namespace convkit::cuda {
namespace {

// A convolution of the definition, one number at a time.
struct Geometry {
  Conv2dShape s;
  Conv2dParams params;

  // Channels and filters of a group.
  CK_DEVICE int64_t channels() const { return s.C / params.groups; }
  CK_DEVICE int64_t filters() const { return s.K / params.groups; }
  // Row h and column v of the image under tap (i, j) of the filter at (p, q).
  CK_DEVICE int64_t row(int64_t p, int64_t i) const {
    return p * params.stride_h - params.pad_top + i * params.dilation_h;
  }
  CK_DEVICE int64_t column(int64_t q, int64_t j) const {
    return q * params.stride_w - params.pad_left + j * params.dilation_w;
  }
};

// The place of a filter, along one axis, of which a tap is at `at`; below 0 if there is none.
CK_DEVICE int64_t filter_at(int64_t at, int64_t stride, int64_t size) {
  return at >= 0 && at % stride == 0 && at / stride < size ? at / stride : -1;
}

template <class T>
struct Forward {
  Geometry geometry;
  const T *x, *w, *b;
  T* y;
  CK_DEVICE void operator()(int64_t index) const {
    const Conv2dShape& s = geometry.s;
    const Conv2dParams& params = geometry.params;
    const int64_t k = index % s.K, pixel = index / s.K, C = geometry.channels();
    const int64_t q = pixel % s.Q, p = pixel / s.Q % s.P, n = pixel / (s.P * s.Q);
    T sum = b != nullptr ? b[k] : T(0);
    for (int64_t i = 0; i < s.KH; ++i) {
      const int64_t h = geometry.row(p, i);
      if (h < 0 || h >= s.H) continue;
      for (int64_t j = 0; j < s.KW; ++j) {
        const int64_t v = geometry.column(q, j);
        if (v < 0 || v >= s.W) continue;
        const T* const from = x + ((n * s.H + h) * s.W + v) * s.C + k / geometry.filters() * C;
        const T* const to = w + (i * s.KW + j) * C * s.K + k;
        for (int64_t c = 0; c < C; ++c) sum += from[c] * to[c * s.K];
      }
    }
    y[index] = activate(static_cast<Activation>(params.activation), T(params.alpha), sum);
  }
};

template <class T>
struct BackwardInput {
  Geometry geometry;
  const T *dy, *w, *x;
  T* dx;
  CK_DEVICE void operator()(int64_t index) const {
    const Conv2dShape& s = geometry.s;
    const Conv2dParams& params = geometry.params;
    const int64_t c = index % s.C, pixel = index / s.C, C = geometry.channels();
    const int64_t v = pixel % s.W, h = pixel / s.W % s.H, n = pixel / (s.H * s.W);
    const int64_t K = geometry.filters(), first = c / C * K;
    T sum = 0;
    for (int64_t i = 0; i < s.KH; ++i) {
      const int64_t p = filter_at(h + params.pad_top - i * params.dilation_h, params.stride_h, s.P);
      if (p < 0) continue;
      for (int64_t j = 0; j < s.KW; ++j) {
        const int64_t q =
            filter_at(v + params.pad_left - j * params.dilation_w, params.stride_w, s.Q);
        if (q < 0) continue;
        const T* const from = dy + ((n * s.P + p) * s.Q + q) * s.K + first;
        const T* const by = w + ((i * s.KW + j) * C + c % C) * s.K + first;
        for (int64_t k = 0; k < K; ++k) sum += from[k] * by[k];
      }
    }
    const auto through = static_cast<Activation>(params.through);
    if (through != Activation::linear)
      sum *= activate_derivative_from_output(through, T(params.through_alpha), x[index]);
    dx[index] = sum;
  }
};

// Of dw, and behind it of db; the terms are the pixels of dy.
template <class T>
struct WeightGradient {
  Geometry geometry;
  const T *dy, *x;
  CK_DEVICE T operator()(int64_t index, int64_t begin, int64_t end) const {
    const Conv2dShape& s = geometry.s;
    const int64_t k = index % s.K, row = index / s.K, C = geometry.channels();
    const int64_t tap = row / C, i = tap / s.KW, j = tap % s.KW;
    const bool bias = i >= s.KH;
    const int64_t c = k / geometry.filters() * C + row % C;
    T sum = 0;
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      const T value = dy[pixel * s.K + k];
      if (bias) {
        sum += value;
        continue;
      }
      const int64_t n = pixel / (s.P * s.Q), h = geometry.row(pixel / s.Q % s.P, i);
      const int64_t v = geometry.column(pixel % s.Q, j);
      if (h >= 0 && h < s.H && v >= 0 && v < s.W)
        sum += x[((n * s.H + h) * s.W + v) * s.C + c] * value;
    }
    return sum;
  }
};

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Geometry geometry{conv2d_shape(call[0], call[1], call[3]), call.as<Conv2dParams>()};
    for_each(
        call, call[3].size(),
        Forward<T>{geometry, call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<T>()});
  });
}

void backward_input(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Geometry geometry{conv2d_shape(call[3], call[1], call[0]), call.as<Conv2dParams>()};
    for_each(call, call[3].size(),
             BackwardInput<T>{geometry, call[0].as<T>(), call[1].as<T>(), call[2].as<T>(),
                              call[3].as<T>()});
  });
}

int64_t gradient_results(const convkit::Call& call) { return call[2].size() + call[2].shape[3]; }
Splits gradient_splits(const convkit::Call& call) {
  return simple_splits(gradient_results(call), call[0].rows());
}

void backward_weight(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Geometry geometry{conv2d_shape(call[1], call[2], call[0]), call.as<Conv2dParams>()};
    sum_split<T>(call, gradient_results(call), gradient_splits(call),
                 WeightGradient<T>{geometry, call[0].as<T>(), call[1].as<T>()},
                 StoreWeightGradient<T>{call[2].as<T>(), call[3].as<T>(), call[2].size()});
  });
}
Workspace backward_weight_workspace(const convkit::Call& call) {
  return gradient_splits(call).workspace_bytes(gradient_results(call),
                                               kDtypeBytes[static_cast<int>(call[0].dtype)]);
}

template <Conv2dPass pass, class Tiles>
constexpr Kernel product(const char* name, Precision precision = Precision::full) {
  constexpr const char* kPasses[] = {"forward", "backward_input", "backward_weight"};
  return {kPasses[static_cast<int>(pass)],
          name,
          kFloat32,
          &conv2d_product<pass, Tiles>,
          &conv2d_product_supports<pass, Tiles>,
          &conv2d_product_workspace<pass, Tiles>,
          Proof::emulated,
          precision};
}

constexpr Kernel rows[] = {
    product<Conv2dPass::forward, MmaTiles<Bf16>>("cuda_mma_bf16", Precision::bf16),
    product<Conv2dPass::forward, MmaTiles<Tf32>>("cuda_mma_tf32", Precision::tf32),
    product<Conv2dPass::forward, LargeTiles>("cuda_ffma_128"),
    product<Conv2dPass::forward, SmallTiles>("cuda_ffma"),
    product<Conv2dPass::backward_input, MmaTiles<Bf16>>("cuda_mma_bf16", Precision::bf16),
    product<Conv2dPass::backward_input, MmaTiles<Tf32>>("cuda_mma_tf32", Precision::tf32),
    product<Conv2dPass::backward_input, LargeTiles>("cuda_ffma_128"),
    product<Conv2dPass::backward_input, SmallTiles>("cuda_ffma"),
    product<Conv2dPass::backward_weight, MmaTiles<Bf16>>("cuda_mma_bf16", Precision::bf16),
    product<Conv2dPass::backward_weight, MmaTiles<Tf32>>("cuda_mma_tf32", Precision::tf32),
    product<Conv2dPass::backward_weight, LargeTiles>("cuda_ffma_128"),
    product<Conv2dPass::backward_weight, SmallTiles>("cuda_ffma"),
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward_input", "cuda_simple", kFloats, &backward_input},
    {"backward_weight", "cuda_simple", kFloats, &backward_weight, nullptr,
     &backward_weight_workspace},
    sample_row<ConvForwardStage>("forward"),
    sample_row<ConvBackwardInputStage>("backward_input"),
    sample_row<ConvBackwardWeightStage>("backward_weight"),
};

}  // namespace

extern const Table conv2d_cuda_table = {"conv2d", rows};

}  // namespace convkit::cuda
