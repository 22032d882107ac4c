// The naive kernels of dense and update, one after the other, with dw in the workspace.
#include "ops/dense/dense.h"
#include "ops/dense_update/dense_update.h"

namespace convkit::CK_ISA {
namespace {

void gradient_then(RunFn rule, const Call& call) {
  constexpr int kMost = 8;  // operands
  Tensor dw = call[call.count - 1];
  dw.data = call.workspace;
  const Tensor product[] = {call[0], call[1], dw, {}};
  Call gradient = call;
  gradient.operands = product;
  gradient.count = 4;
  dense_naive_backward_weight(gradient);

  Tensor changed[kMost] = {dw};
  for (int i = 2; i < call.count; ++i) changed[i - 1] = call[i];
  Call update = call;
  update.operands = changed;
  update.count = call.count - 1;
  rule(update);
}

}  // namespace

void dense_update_naive_sgd(const Call& call) { gradient_then(update_naive_sgd, call); }
void dense_update_naive_adagrad(const Call& call) { gradient_then(update_naive_adagrad, call); }
void dense_update_naive_adadelta(const Call& call) { gradient_then(update_naive_adadelta, call); }
void dense_update_naive_rmsprop(const Call& call) { gradient_then(update_naive_rmsprop, call); }
void dense_update_naive_adam(const Call& call) { gradient_then(update_naive_adam, call); }
void dense_update_naive_nadam(const Call& call) { gradient_then(update_naive_nadam, call); }
void dense_update_naive_adamax(const Call& call) { gradient_then(update_naive_adamax, call); }
void dense_update_naive_lion(const Call& call) { gradient_then(update_naive_lion, call); }

}  // namespace convkit::CK_ISA
