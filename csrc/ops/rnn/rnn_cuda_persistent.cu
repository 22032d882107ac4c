#include "cuda/device.h"
#include "ops/rnn/rnn_cuda.h"
#include "ops/rnn/rnn_cuda_persistent.cuh"

namespace convkit::cuda::rnn {
namespace {

// Shared memory of a block: at most so many bytes, which GPUs before compute capability 8.0 lack.
constexpr std::size_t kMostShared = 72 * 1024;

bool gpu_has_it() {
  static const bool has =
      why_unavailable().empty() && device_info().shared_bytes >= static_cast<int64_t>(kMostShared);
  return has;
}

// Calls run.operator()<kResetAfter, kUnits>() for the kernel of a call.
template <Cell kCell, class Run>
void with_kernel(int64_t H, bool reset_after, const Run& run) {
  const auto with_units = [&]<bool kResetAfter>() {
    if (H <= 64) return run.template operator()<kResetAfter, 64>();
    if (kCell != Cell::simple || H <= 128) return run.template operator()<kResetAfter, 128>();
    if constexpr (kCell == Cell::simple) run.template operator()<kResetAfter, 256>();
  };
  if constexpr (kCell == Cell::gru) {
    if (!reset_after) return with_units.template operator()<false>();
  }
  with_units.template operator()<true>();
}

}  // namespace

template <Cell kCell>
bool persistent_holds(int64_t H) {
  if (H > (kCell == Cell::simple ? 256 : 128)) return false;
  // Registers alone hold the others.
  const bool rest = kCell == Cell::simple ? H > 128 : kCell == Cell::lstm && H > 64;
  return !rest || gpu_has_it();
}

template <Cell kCell>
void persistent_forward(const Call& call) {
  const Forward<float, kCell> p(call);
  const ForwardPlan plan(kCell, p.N, p.steps, p.C, p.H, p.numbers, sizeof(float));
  const StepSums<float> sums = launch_input_sums(call, p, plan);
  if (p.N == 0) return;
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  with_kernel<kCell>(p.H, p.reset_after, [&]<bool kResetAfter, int kUnits>() {
    using K = PersistentForward<kCell, kResetAfter, kUnits>;
    static_assert(K::shared_bytes(K::kMostRows) <= kMostShared);
    const int rows = static_cast<int>(block_rows(p.N, K::kMostRows));
    launch(call, dim3(static_cast<unsigned>(ceil_div(p.N, rows))), K{p, sums, kind, rows},
           K::shared_bytes(rows));
  });
}

template <Cell kCell>
void persistent_backward(const Call& call) {
  const Backward<float, kCell> p(call);
  const BackwardPlan plan(kCell, p.reset_after, p.N, p.steps, p.C, p.H, p.numbers, sizeof(float));
  float* const work = reinterpret_cast<float*>(call.workspace);
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  if (p.N > 0) {
    with_kernel<kCell>(p.H, p.reset_after, [&]<bool kResetAfter, int kUnits>() {
      using K = PersistentBackward<kCell, kResetAfter, kUnits>;
      static_assert(K::shared_bytes(K::kMostRows) <= kMostShared);
      const int rows = static_cast<int>(block_rows(p.N, K::kMostRows));
      launch(call, dim3(static_cast<unsigned>(ceil_div(p.N, rows))),
             K{p, kind, rows, work + plan.da, work + plan.before, work + plan.rh},
             K::shared_bytes(rows));
    });
  }
  launch_input_gradients(call, p, plan);
}

template bool persistent_holds<Cell::simple>(int64_t);
template bool persistent_holds<Cell::lstm>(int64_t);
template bool persistent_holds<Cell::gru>(int64_t);
template void persistent_forward<Cell::simple>(const Call&);
template void persistent_forward<Cell::lstm>(const Call&);
template void persistent_forward<Cell::gru>(const Call&);
template void persistent_backward<Cell::simple>(const Call&);
template void persistent_backward<Cell::lstm>(const Call&);
template void persistent_backward<Cell::gru>(const Call&);

}  // namespace convkit::cuda::rnn
