// softmax, row by row over the formulas of softmax_formula.h.
#include "ops/softmax/softmax_formula.h"

namespace convkit::CK_ISA {
namespace {

template <class Formula, int kInputs>
void run(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const int64_t k = call[0].last();
    if (k == 0) return;
    for (int64_t i = 0; i < call[0].size(); i += k) {
      Formula::row(Alone{}, call[0].as<const T>() + i, call[kInputs - 1].as<const T>() + i,
                   call[kInputs].as<T>() + i, k);
    }
  });
}

}  // namespace

void softmax_naive_forward(const Call& call) { run<Softmax, 1>(call); }
void softmax_naive_backward(const Call& call) { run<SoftmaxBackward, 2>(call); }
void softmax_naive_log_forward(const Call& call) { run<LogSoftmax, 1>(call); }
void softmax_naive_log_backward(const Call& call) { run<LogSoftmaxBackward, 2>(call); }

}  // namespace convkit::CK_ISA
