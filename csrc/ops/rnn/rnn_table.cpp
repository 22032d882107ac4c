// The kernels of rnn, best first.
#include "core/checked.h"
#include "gemm/shared_scratch.h"
#include "ops/rnn/rnn.h"
#include "ops/rnn/rnn_plan.h"

namespace convkit {
namespace {

// Where u is among the operands of a pass.
enum : int { kForwardU = 2, kBackwardU = 4, kLstmBackwardU = 5 };

// States, gates and their gradients of one sequence.
template <int kU>
Workspace naive_workspace(const Call& call) {
  return checked_product(8, call[kU].shape[0], kDtypeBytes[static_cast<int>(call[kU].dtype)]);
}

template <class Plan, Cell kCell, int kU>
Workspace tiled_workspace(const Call& call) {
  const Tensor &x = call[kU - 2], &w = call[kU - 1], &u = call[kU];
  const Plan plan(kCell, call.as<RnnParams>(), x.shape[0], x.shape[1], w.shape[0], u.shape[0],
                  x.rank == 2);
  return checked_product(plan.total, kDtypeBytes[static_cast<int>(u.dtype)]);
}
template <Cell kCell, int kU>
Workspace backward_workspace(const Call& call) {
  const Tensor &w = call[kU - 1], &u = call[kU];
  const int64_t bytes = kDtypeBytes[static_cast<int>(u.dtype)];
  const int64_t scratch = shared_scratch(checked_sum(w.shape[0], u.shape[0]));
  return {tiled_workspace<RnnBackwardPlan, kCell, kU>(call).shared, RnnBackwardPlan::kSlots,
          checked_product(scratch, bytes)};
}

constexpr Kernel rows[] = {
    {"simple_forward", "cpu_tiled", kFloats, CK_PER_ISA(rnn_tiled_simple_forward), nullptr,
     tiled_workspace<RnnForwardPlan, Cell::simple, kForwardU>},
    {"simple_forward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_simple_forward), nullptr,
     naive_workspace<kForwardU>},
    {"simple_backward", "cpu_tiled", kFloats, CK_PER_ISA(rnn_tiled_simple_backward), nullptr,
     backward_workspace<Cell::simple, kBackwardU>},
    {"simple_backward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_simple_backward), nullptr,
     naive_workspace<kBackwardU>},
    {"lstm_forward", "cpu_tiled", kFloats, CK_PER_ISA(rnn_tiled_lstm_forward), nullptr,
     tiled_workspace<RnnForwardPlan, Cell::lstm, kForwardU>},
    {"lstm_forward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_lstm_forward), nullptr,
     naive_workspace<kForwardU>},
    {"lstm_backward", "cpu_tiled", kFloats, CK_PER_ISA(rnn_tiled_lstm_backward), nullptr,
     backward_workspace<Cell::lstm, kLstmBackwardU>},
    {"lstm_backward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_lstm_backward), nullptr,
     naive_workspace<kLstmBackwardU>},
    {"gru_forward", "cpu_tiled", kFloats, CK_PER_ISA(rnn_tiled_gru_forward), nullptr,
     tiled_workspace<RnnForwardPlan, Cell::gru, kForwardU>},
    {"gru_forward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_gru_forward), nullptr,
     naive_workspace<kForwardU>},
    {"gru_backward", "cpu_tiled", kFloats, CK_PER_ISA(rnn_tiled_gru_backward), nullptr,
     backward_workspace<Cell::gru, kBackwardU>},
    {"gru_backward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_gru_backward), nullptr,
     naive_workspace<kBackwardU>},
};

constexpr ParamField fields[] = {
    CK_CHOICE(RnnParams, activation, kRnnActivationNames),
    CK_FIELD(RnnParams, go_backwards),
    CK_FIELD(RnnParams, processing_order),
    CK_FIELD(RnnParams, reset_after),
    CK_FIELD(RnnParams, truncate),
};

}  // namespace

extern const OpTable rnn_table = {"rnn", rows, fields, sizeof(RnnParams)};

}  // namespace convkit
