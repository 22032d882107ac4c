// rnn on a GPU: the products with x before and behind the steps, and the plain steps between them.
#include "ops/rnn/rnn_cuda.h"
#include "ops/rnn/rnn_cuda_simple.cuh"

namespace convkit::cuda {
namespace rnn {
namespace {

template <class T>
std::size_t shared_bytes(int64_t parts, int64_t states) {
  return static_cast<std::size_t>(parts + states) * sizeof(T) + kRowBytes;
}

template <Cell kCell>
void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Forward<T, kCell> p(call);
    const ForwardPlan plan(kCell, p.N, p.steps, p.C, p.H, p.numbers, sizeof(T));
    const StepSums<T> sums = launch_input_sums(call, p, plan);
    if (p.N == 0) return;
    const int64_t rows = block_rows(p.N, kBlockRows), parts = forward_parts(kCell);
    const bool fit = states_fit(p.H, kForwardStates, parts, sizeof(T));
    T* const states = fit ? nullptr : reinterpret_cast<T*>(call.workspace) + plan.states;
    const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
    const auto take_steps = [&]<bool kResetAfter>() {
      launch(call, dim3(static_cast<unsigned>(ceil_div(p.N, rows))),
             SimpleForward<T, kCell, kResetAfter>{p, sums, kind, static_cast<int>(rows),
                                                  units_of(p.H), states},
             shared_bytes<T>(parts, fit ? kForwardStates * p.H : 0));
    };
    if constexpr (kCell == Cell::gru) {
      if (!p.reset_after) return take_steps.template operator()<false>();
    }
    take_steps.template operator()<true>();
  });
}

// Where x is among the operands of a backward pass.
template <Cell kCell>
constexpr int kX = kCell == Cell::lstm ? 3 : 2;

template <Cell kCell>
void backward(const Call& call) {
  dispatch_float(call[kX<kCell>].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Backward<T, kCell> p(call);
    const BackwardPlan plan(kCell, p.reset_after, p.N, p.steps, p.C, p.H, p.numbers, sizeof(T));
    T* const work = reinterpret_cast<T*>(call.workspace);
    const int64_t GH = gates(kCell) * p.H;
    const int64_t rows = block_rows(p.N, kBlockRows), parts = backward_parts();
    const bool fit = states_fit(p.H, backward_states(kCell), parts, sizeof(T));
    const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
    const auto take_steps = [&]<bool kResetAfter>() {
      for_each(call, GH * p.H, TransposeWeights<T>{p.u, p.H, GH, work + plan.u});
      launch(call, dim3(static_cast<unsigned>(ceil_div(p.N, rows))),
             SimpleBackward<T, kCell, kResetAfter>{
                 p, kind, static_cast<int>(rows), units_of(p.H), work + plan.da, work + plan.before,
                 work + plan.rh, work + plan.u, fit ? nullptr : work + plan.states},
             shared_bytes<T>(parts, fit ? backward_states(kCell) * p.H : 0));
    };
    if (p.N > 0) {
      if (kCell == Cell::gru && !p.reset_after) {
        take_steps.template operator()<kCell != Cell::gru>();
      } else {
        take_steps.template operator()<true>();
      }
    }
    launch_input_gradients(call, p, plan);
  });
}

template <Cell kCell>
Workspace forward_workspace(const convkit::Call& call) {
  const Tensor &x = call[0], &w = call[1], &u = call[2];
  const int64_t bytes = kDtypeBytes[static_cast<int>(u.dtype)];
  const ForwardPlan plan(kCell, x.shape[0], x.shape[1], w.shape[0], u.shape[0], x.rank == 2, bytes);
  return checked_product(plan.total, bytes);
}

template <Cell kCell>
Workspace backward_workspace(const convkit::Call& call) {
  const Tensor &x = call[kX<kCell>], &w = call[kX<kCell> + 1], &u = call[kX<kCell> + 2];
  const int64_t bytes = kDtypeBytes[static_cast<int>(u.dtype)];
  const bool reset_after = call.as<RnnParams>().reset_after != 0;
  const BackwardPlan plan(kCell, reset_after, x.shape[0], x.shape[1], w.shape[0], u.shape[0],
                          x.rank == 2, bytes);
  return checked_product(plan.total, bytes);
}

template <Cell kCell, int kU>
bool few_units(const convkit::Call& call) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const Tensor& x = call[kU - 2];
  return x.shape[0] < kMost && x.shape[1] < kMost && persistent_holds<kCell>(call[kU].shape[0]);
}

constexpr Kernel rows[] = {
    {"simple_forward", "cuda_persistent", kFloat32, &persistent_forward<Cell::simple>,
     &few_units<Cell::simple, 2>, &forward_workspace<Cell::simple>},
    {"simple_forward", "cuda_simple", kFloats, &forward<Cell::simple>, nullptr,
     &forward_workspace<Cell::simple>},
    {"simple_backward", "cuda_persistent", kFloat32, &persistent_backward<Cell::simple>,
     &few_units<Cell::simple, kX<Cell::simple> + 2>, &backward_workspace<Cell::simple>},
    {"simple_backward", "cuda_simple", kFloats, &backward<Cell::simple>, nullptr,
     &backward_workspace<Cell::simple>},
    {"lstm_forward", "cuda_persistent", kFloat32, &persistent_forward<Cell::lstm>,
     &few_units<Cell::lstm, 2>, &forward_workspace<Cell::lstm>},
    {"lstm_forward", "cuda_simple", kFloats, &forward<Cell::lstm>, nullptr,
     &forward_workspace<Cell::lstm>},
    {"lstm_backward", "cuda_persistent", kFloat32, &persistent_backward<Cell::lstm>,
     &few_units<Cell::lstm, kX<Cell::lstm> + 2>, &backward_workspace<Cell::lstm>},
    {"lstm_backward", "cuda_simple", kFloats, &backward<Cell::lstm>, nullptr,
     &backward_workspace<Cell::lstm>},
    {"gru_forward", "cuda_persistent", kFloat32, &persistent_forward<Cell::gru>,
     &few_units<Cell::gru, 2>, &forward_workspace<Cell::gru>},
    {"gru_forward", "cuda_simple", kFloats, &forward<Cell::gru>, nullptr,
     &forward_workspace<Cell::gru>},
    {"gru_backward", "cuda_persistent", kFloat32, &persistent_backward<Cell::gru>,
     &few_units<Cell::gru, kX<Cell::gru> + 2>, &backward_workspace<Cell::gru>},
    {"gru_backward", "cuda_simple", kFloats, &backward<Cell::gru>, nullptr,
     &backward_workspace<Cell::gru>},
};

}  // namespace
}  // namespace rnn

extern const Table rnn_cuda_table = {"rnn", rnn::rows};

}  // namespace convkit::cuda
