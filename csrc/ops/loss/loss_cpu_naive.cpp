// loss, the obvious loops over the formulas of loss_formula.h.
#include "ops/loss/loss_formula.h"

namespace convkit::CK_ISA {
namespace {

void run(const Call& call, bool gradient) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LossRows<T> rows(call, gradient);
    for (int64_t r = 0; r < rows.rows; ++r) {
      rows.loss[r] = loss_of_row(Alone{}, rows, r, rows.k);
    }
    finish<T>(call, gradient);
  });
}

}  // namespace

void loss_naive_forward(const Call& call) { run(call, false); }
void loss_naive_backward(const Call& call) { run(call, true); }

}  // namespace convkit::CK_ISA
