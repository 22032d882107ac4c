// The CUDA rows of dense, and those of them that are plain: a thread for each result, or each part
// of a sum.
#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "cuda/split_sums.cuh"
#include "ops/activation/activation_formula.h"
#include "ops/dense/dense_cuda_products.h"
#include "ops/dense/dense_stage.cuh"

namespace convkit::cuda {
namespace {

template <class T>
struct Forward {
  const T *x, *w, *b;
  T* y;
  int64_t C, K;
  Activation kind;
  T alpha;
  CK_DEVICE void operator()(int64_t i) const {
    const int64_t k = i % K;
    const T* const row = x + i / K * C;
    T sum = b != nullptr ? b[k] : T(0);
    for (int64_t c = 0; c < C; ++c) sum += row[c] * w[c * K + k];
    y[i] = activate(kind, alpha, sum);
  }
};

void forward(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const int64_t C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for_each(call, call[3].size(),
             Forward<T>{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<T>(), C, K,
                        static_cast<Activation>(params.activation), T(params.alpha)});
  });
}

template <class T>
struct BackwardInput {
  const T *dy, *w, *x;
  T* dx;
  int64_t C, K;
  Activation through;
  T alpha;
  CK_DEVICE void operator()(int64_t i) const {
    const T* const row = dy + i / C * K;
    const T* const weights = w + i % C * K;
    T sum = 0;
    for (int64_t k = 0; k < K; ++k) sum += row[k] * weights[k];
    if (through != Activation::linear) sum *= activate_derivative_from_output(through, alpha, x[i]);
    dx[i] = sum;
  }
};

void backward_input(const Call& call) {
  const DenseParams& params = call.as<DenseParams>();
  const int64_t C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for_each(call, call[3].size(),
             BackwardInput<T>{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<T>(), C,
                              K, static_cast<Activation>(params.through), T(params.through_alpha)});
  });
}

// Of dw, and behind it of db.
template <class T>
struct WeightGradient {
  const T *dy, *x;
  int64_t C, K;
  CK_DEVICE T operator()(int64_t i, int64_t begin, int64_t end) const {
    const int64_t c = i / K, k = i % K;
    T sum = 0;
    if (c < C)
      for (int64_t r = begin; r < end; ++r) sum += x[r * C + c] * dy[r * K + k];
    else
      for (int64_t r = begin; r < end; ++r) sum += dy[r * K + k];
    return sum;
  }
};

// C is 0 where db alone is wanted.
Splits gradient_splits(const convkit::Call& call, int64_t C) {
  return simple_splits(checked_product(C + 1, call[0].last()), call[0].rows());
}
Workspace gradient_workspace(const convkit::Call& call, int64_t C) {
  return gradient_splits(call, C).workspace_bytes((C + 1) * call[0].last(),
                                                  kDtypeBytes[static_cast<int>(call[0].dtype)]);
}

void gradient(const Call& call, const Tensor& x, const Tensor& dw, const Tensor& db, int64_t C) {
  const int64_t K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    sum_split<T>(call, (C + 1) * K, gradient_splits(call, C),
                 WeightGradient<T>{call[0].as<T>(), x.as<T>(), C, K},
                 StoreWeightGradient<T>{dw.as<T>(), db.as<T>(), C * K});
  });
}

void backward_weight(const Call& call) {
  gradient(call, call[1], call[2], call[3], call[2].shape[0]);
}
Workspace backward_weight_workspace(const convkit::Call& call) {
  return gradient_workspace(call, call[2].shape[0]);
}

void backward_bias(const Call& call) { gradient(call, {}, {}, call[1], 0); }
Workspace backward_bias_workspace(const convkit::Call& call) { return gradient_workspace(call, 0); }

template <DensePass pass, class Tiles>
constexpr Kernel product(const char* name, Precision precision = Precision::full) {
  constexpr const char* kPasses[] = {"forward", "backward_input", "backward_weight"};
  return {kPasses[static_cast<int>(pass)],
          name,
          kFloat32,
          &dense_product<pass, Tiles>,
          &dense_product_supports<pass, Tiles>,
          &dense_product_workspace<pass, Tiles>,
          Proof::emulated,
          precision};
}

constexpr Kernel rows[] = {
    product<DensePass::forward, MmaTiles<Bf16>>("cuda_mma_bf16", Precision::bf16),
    product<DensePass::forward, MmaTiles<Tf32>>("cuda_mma_tf32", Precision::tf32),
    product<DensePass::forward, LargeTiles>("cuda_ffma_128"),
    product<DensePass::forward, SmallTiles>("cuda_ffma"),
    product<DensePass::backward_input, MmaTiles<Bf16>>("cuda_mma_bf16", Precision::bf16),
    product<DensePass::backward_input, MmaTiles<Tf32>>("cuda_mma_tf32", Precision::tf32),
    product<DensePass::backward_input, LargeTiles>("cuda_ffma_128"),
    product<DensePass::backward_input, SmallTiles>("cuda_ffma"),
    product<DensePass::backward_weight, MmaTiles<Bf16>>("cuda_mma_bf16", Precision::bf16),
    product<DensePass::backward_weight, MmaTiles<Tf32>>("cuda_mma_tf32", Precision::tf32),
    product<DensePass::backward_weight, LargeTiles>("cuda_ffma_128"),
    product<DensePass::backward_weight, SmallTiles>("cuda_ffma"),
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward_input", "cuda_simple", kFloats, &backward_input},
    {"backward_weight", "cuda_simple", kFloats, &backward_weight, nullptr,
     &backward_weight_workspace},
    {"backward_bias", "cuda_simple", kFloats, &backward_bias, nullptr, &backward_bias_workspace},
    sample_row<DenseForwardStage>("forward"),
    sample_row<DenseBackwardInputStage>("backward_input"),
    sample_row<DenseBackwardWeightStage>("backward_weight"),
};

}  // namespace

extern const Table dense_cuda_table = {"dense", rows};

}  // namespace convkit::cuda
