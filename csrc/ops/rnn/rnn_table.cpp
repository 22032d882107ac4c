// The kernels of rnn, best first.
#include "core/checked.h"
#include "ops/rnn/rnn.h"

namespace convkit {
namespace {

// Where u is among the operands of a pass.
enum : int { kForwardU = 2, kBackwardU = 4, kLstmBackwardU = 5 };

// States, gates and their gradients of one sequence.
template <int kU>
int64_t naive_workspace(const Call& call) {
  return checked_product(8, call[kU].shape[0], kDtypeBytes[static_cast<int>(call[kU].dtype)]);
}

constexpr Kernel rows[] = {
    {"simple_forward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_simple_forward), nullptr,
     naive_workspace<kForwardU>},
    {"simple_backward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_simple_backward), nullptr,
     naive_workspace<kBackwardU>},
    {"lstm_forward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_lstm_forward), nullptr,
     naive_workspace<kForwardU>},
    {"lstm_backward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_lstm_backward), nullptr,
     naive_workspace<kLstmBackwardU>},
    {"gru_forward", "cpu_naive", kFloats, CK_PER_ISA(rnn_naive_gru_forward), nullptr,
     naive_workspace<kForwardU>},
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
