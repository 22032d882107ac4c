// The rules of update over runs of values on the CPU. The rows of update and those of dense_update
// share it: the same instructions, hence the same bits.
#pragma once

#ifndef CK_ISA
#error "ops/update/update_blocks.h is for sources that are compiled once per ISA"
#endif

#include <cstring>
#include <utility>

#include "ops/update/update_passes.h"

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

}  // namespace convkit::CK_ISA
