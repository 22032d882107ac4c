// The CUDA rows of dense: as products of matrices, and plain ones, with a thread for each result or
// each part of a sum.
#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "cuda/matrix_loaders.cuh"
#include "cuda/product_plan.cuh"
#include "cuda/split_sums.cuh"
#include "ops/activation/activation_formula.h"
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

// ---- products of matrices

ProductSize forward_size(const convkit::Call& call) {
  return {call[0].rows(), call[1].shape[1], call[1].shape[0]};
}
ProductSize backward_input_size(const convkit::Call& call) {
  return {call[0].rows(), call[1].shape[0], call[1].shape[1]};
}
ProductSize backward_weight_size(const convkit::Call& call) {  // db is the row behind dw
  return {call[2].shape[0] + 1, call[2].shape[1], call[0].rows()};
}

template <bool large>
void ffma_forward(const Call& call) {
  if constexpr (large)
    if (!aligned(call)) return ffma_forward<false>(call);
  const DenseParams& params = call.as<DenseParams>();
  const ProductSize s = forward_size(call);
  ProductOutput out;
  out.c = call[3].as<float>();
  out.bias = call[2].as<float>();
  out.rows_of_c = static_cast<int>(s.rows);
  out.activation = static_cast<Activation>(params.activation);
  out.alpha = static_cast<float>(params.alpha);
  out.by_four = aligned(out.c);
  with_tile<large>(s.columns, [&](auto tile) {
    launch_product<decltype(tile)>(call, s, RowsAlongTerms(call[0].as<float>(), s.rows, s.terms),
                                   RowsOfTerms<large>(call[1].as<float>(), s.columns), out);
  });
}

template <bool large>
void ffma_backward_input(const Call& call) {
  if constexpr (large)
    if (!aligned(call)) return ffma_backward_input<false>(call);
  const DenseParams& params = call.as<DenseParams>();
  const ProductSize s = backward_input_size(call);
  ProductOutput out;
  out.c = call[3].as<float>();
  out.x = call[2].as<float>();
  out.rows_of_c = static_cast<int>(s.rows);
  out.through = static_cast<Activation>(params.through);
  out.through_alpha = static_cast<float>(params.through_alpha);
  out.by_four = aligned(out.c);
  with_tile<large>(s.columns, [&](auto tile) {
    launch_product<decltype(tile)>(call, s, RowsAlongTerms(call[0].as<float>(), s.rows, s.terms),
                                   RowsAlongTerms(call[1].as<float>(), s.columns, s.terms), out);
  });
}

template <bool large>
void ffma_backward_weight(const Call& call) {
  if constexpr (large)
    if (!aligned(call)) return ffma_backward_weight<false>(call);
  const ProductSize s = backward_weight_size(call);
  ProductOutput out;
  out.c = call[2].as<float>();
  out.last_row = call[3].as<float>();
  out.rows_of_c = static_cast<int>(s.rows) - 1;
  out.by_four = aligned(out.c) && aligned(out.last_row);
  with_tile<large>(s.columns, [&](auto tile) {
    launch_product<decltype(tile)>(call, s,
                                   RowsOfTerms<large, true>(call[1].as<float>(), s.rows - 1),
                                   RowsOfTerms<large>(call[0].as<float>(), s.columns), out);
  });
}

// For large tiles, what lies along the terms is read in fours.
bool forward_in_fours(const ProductSize& s) { return s.columns % 4 == 0; }
bool backward_input_in_fours(const ProductSize&) { return true; }
bool backward_weight_in_fours(const ProductSize& s) {
  return s.columns % 4 == 0 && s.rows % 4 == 1;
}

template <ProductSize (*size)(const convkit::Call&)>
bool ffma_supports(const convkit::Call& call) {
  return product_fits(size(call));
}
template <ProductSize (*size)(const convkit::Call&), bool (*in_fours)(const ProductSize&)>
bool large_ffma_supports(const convkit::Call& call) {
  return product_fits(size(call)) && in_fours(size(call));
}
template <ProductSize (*size)(const convkit::Call&), bool large>
Workspace ffma_workspace(const convkit::Call& call) {
  return product_workspace<large>(size(call));
}

constexpr Kernel rows[] = {
    {"forward", "cuda_ffma_128", kFloat32, &ffma_forward<true>,
     &large_ffma_supports<forward_size, forward_in_fours>, &ffma_workspace<forward_size, true>},
    {"forward", "cuda_ffma", kFloat32, &ffma_forward<false>, &ffma_supports<forward_size>,
     &ffma_workspace<forward_size, false>},
    {"backward_input", "cuda_ffma_128", kFloat32, &ffma_backward_input<true>,
     &large_ffma_supports<backward_input_size, backward_input_in_fours>,
     &ffma_workspace<backward_input_size, true>},
    {"backward_input", "cuda_ffma", kFloat32, &ffma_backward_input<false>,
     &ffma_supports<backward_input_size>, &ffma_workspace<backward_input_size, false>},
    {"backward_weight", "cuda_ffma_128", kFloat32, &ffma_backward_weight<true>,
     &large_ffma_supports<backward_weight_size, backward_weight_in_fours>,
     &ffma_workspace<backward_weight_size, true>},
    {"backward_weight", "cuda_ffma", kFloat32, &ffma_backward_weight<false>,
     &ffma_supports<backward_weight_size>, &ffma_workspace<backward_weight_size, false>},
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
