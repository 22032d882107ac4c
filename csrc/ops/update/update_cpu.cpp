// The rows that step: every rule in one pass over gradient, state and weights.
//
// Plain SGD rounds the product eta*g before it subtracts: no fused multiply-add, so that it is bit
// for bit NumPy's w - eta*g on every ISA. All else may be fused.
#include "ops/update/update_blocks.h"

namespace convkit::CK_ISA {
namespace {

static_assert(kUpdateChunk % kRuleBlock == 0);

// The two ways to drive a rule; `state` are the operands' numbers.
struct Naive {
  static constexpr int kState = 1;
  template <class Rule, class T, class... At>
  static void run(const Call& call, At... state) {
    const Before<T> before(call.as<UpdateParams>(), *call.step);
    const Rule rule(call.as<UpdateParams>(), *call.step);
    const T* const g = call[0].as<T>();
    T* const w = call[call.count - 1].as<T>();
    for (int64_t i = 0; i < call[0].size(); ++i) {
      step<1>(before, rule, g + i, w + i, (call[state].template as<T>() + i)...);
    }
  }
};
struct Fast {
  static constexpr int kState = 1;
  template <class Rule, class T, class... At>
  static void run(const Call& call, At... state) {
    const Before<T> before(call.as<UpdateParams>(), *call.step);
    const Rule rule(call.as<UpdateParams>(), *call.step);
    const Chunks chunks{call[0].size(), kUpdateChunk};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      const int64_t i = chunks.begin(chunk);
      step_run(before, rule, chunks.end(chunk) - i, call[0].as<T>() + i,
               call[call.count - 1].as<T>() + i, (call[state].template as<T>() + i)...);
    });
  }
};

}  // namespace

void update_naive_sgd(const Call& call) { run_sgd<Naive>(call); }
void update_naive_adagrad(const Call& call) { run_adagrad<Naive>(call); }
void update_naive_adadelta(const Call& call) { run_adadelta<Naive>(call); }
void update_naive_rmsprop(const Call& call) { run_rmsprop<Naive>(call); }
void update_naive_adam(const Call& call) { run_adam<Naive>(call); }
void update_naive_nadam(const Call& call) { run_nadam<Naive>(call); }
void update_naive_adamax(const Call& call) { run_adamax<Naive>(call); }
void update_naive_lion(const Call& call) { run_lion<Naive>(call); }

void update_simd_sgd(const Call& call) { run_sgd<Fast>(call); }
void update_simd_adagrad(const Call& call) { run_adagrad<Fast>(call); }
void update_simd_adadelta(const Call& call) { run_adadelta<Fast>(call); }
void update_simd_rmsprop(const Call& call) { run_rmsprop<Fast>(call); }
void update_simd_adam(const Call& call) { run_adam<Fast>(call); }
void update_simd_nadam(const Call& call) { run_nadam<Fast>(call); }
void update_simd_adamax(const Call& call) { run_adamax<Fast>(call); }
void update_simd_lion(const Call& call) { run_lion<Fast>(call); }

}  // namespace convkit::CK_ISA
