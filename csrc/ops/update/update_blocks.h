// The rules of update over runs of values, and which rule a pass stands for. The rows of update and
// those of dense_update share it: the same instructions, hence the same bits.
#pragma once

#ifndef CK_ISA
#error "ops/update/update_blocks.h is for sources that are compiled once per ISA"
#endif

#include <cstring>
#include <utility>

#include "ops/update/update_rules.h"

namespace convkit::CK_ISA {

constexpr int64_t kRuleBlock = 64;  // values

template <int64_t n, class T, class Rule, class... State>
CK_INLINE void apply(const Rule& rule, const T* __restrict g, T* __restrict w,
                     State* __restrict... state) {
  for (int64_t i = 0; i < n; ++i) rule(g[i], w[i], state[i]...);
}
// The empty asm keeps the products from their subtractions, which the compiler would fuse.
template <int64_t n, class T>
CK_INLINE void apply(const PlainSgd<T>& rule, const T* __restrict g, T* __restrict w) {
  T product[n];
  for (int64_t i = 0; i < n; ++i) product[i] = rule.eta * g[i];
  asm("" : "+m"(product));
  for (int64_t i = 0; i < n; ++i) w[i] -= product[i];
}

// The steps of n values.
template <int64_t n, class T, class Rule, class... State>
CK_INLINE void step(const Before<T>& before, const Rule& rule, const T* __restrict g,
                    T* __restrict w, State* __restrict... state) {
  if (before.shrink != 0) {
    for (int64_t i = 0; i < n; ++i) w[i] -= before.shrink * w[i];
  }
  if (!before.changes_gradient()) {
    apply<n>(rule, g, w, state...);
    return;
  }
  T changed[n];
  for (int64_t i = 0; i < n; ++i) changed[i] = before.gradient(g[i], w[i]);
  apply<n>(rule, changed, w, state...);
}

// One block as its own function: the last, shorter block goes through the same instructions, so a
// value's bits do not depend on where it lies.
template <class T, class Rule, class... State>
__attribute__((noinline)) void step_block(const Before<T>& before, const Rule& rule, const T* g,
                                          T* w, State*... state) {
  step<kRuleBlock>(before, rule, g, w, state...);
}

// The steps of a run of n values.
template <class T, class Rule, class... State>
__attribute__((noinline)) void step_run(const Before<T>& before, const Rule& rule, int64_t n,
                                        const T* g, T* w, State*... state) {
  int64_t i = 0;
  for (; i + kRuleBlock <= n; i += kRuleBlock) {
    step_block(before, rule, g + i, w + i, (state + i)...);
  }
  if (i == n) return;
  const auto bytes = static_cast<std::size_t>(n - i) * sizeof(T);
  constexpr std::size_t kWritten = 1 + sizeof...(State);
  alignas(64) T padded[kWritten][kRuleBlock] = {};
  alignas(64) T gradient[kRuleBlock] = {};
  T* const arrays[kWritten] = {w + i, (state + i)...};
  std::memcpy(gradient, g + i, bytes);
  for (std::size_t a = 0; a < kWritten; ++a) std::memcpy(padded[a], arrays[a], bytes);
  [&]<std::size_t... k>(std::index_sequence<k...>) {
    step_block(before, rule, gradient, padded[0], padded[1 + k]...);
  }(std::index_sequence_for<State...>{});
  for (std::size_t a = 0; a < kWritten; ++a) std::memcpy(arrays[a], padded[a], bytes);
}

// The pass of each rule, for a way to drive it: Way::run<T>(call, rule, state...), with the numbers
// of the states' operands. The first one is Way::kState; w is the last operand of all.
template <class Way, template <class> class Rule, class... At>
CK_INLINE void run_rule(const Call& call, At... state) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    Way::template run<T>(call, Rule<T>(call), (Way::kState + state)...);
  });
}

template <class Way>
void run_sgd(const Call& call) {
  // A momentum that rounds to 0 still has a velocity.
  if (call.as<UpdateParams>().momentum == 0) return run_rule<Way, PlainSgd>(call);
  run_rule<Way, Sgd>(call, 0);
}
template <class Way>
void run_adagrad(const Call& call) {
  run_rule<Way, Adagrad>(call, 0);
}
template <class Way>
void run_adadelta(const Call& call) {
  run_rule<Way, Adadelta>(call, 0, 1);
}
template <class Way>
void run_rmsprop(const Call& call) {
  const bool centered = call[Way::kState + 1].present(), momentum = call[Way::kState + 2].present();
  if (centered && momentum) return run_rule<Way, RmsPropCenteredMomentum>(call, 0, 1, 2);
  if (centered) return run_rule<Way, RmsPropCentered>(call, 0, 1);
  if (momentum) return run_rule<Way, RmsPropMomentum>(call, 0, 2);
  run_rule<Way, RmsPropAlone>(call, 0);
}
template <class Way>
void run_adam(const Call& call) {
  if (call[Way::kState + 2].present()) return run_rule<Way, AmsGrad>(call, 0, 1, 2);
  run_rule<Way, Adam>(call, 0, 1);
}
template <class Way>
void run_nadam(const Call& call) {
  run_rule<Way, Nadam>(call, 0, 1);
}
template <class Way>
void run_adamax(const Call& call) {
  run_rule<Way, Adamax>(call, 0, 1);
}
template <class Way>
void run_lion(const Call& call) {
  run_rule<Way, Lion>(call, 0);
}

}  // namespace convkit::CK_ISA
