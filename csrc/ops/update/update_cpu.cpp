// The rows that step: every rule in one pass over gradient, state and weights.
//
// Plain SGD rounds the product eta*g before it subtracts: no fused multiply-add, so that it is bit
// for bit NumPy's w - eta*g on every ISA. All else may be fused.
#include <cstring>
#include <utility>

#include "ops/update/update_rules.h"

namespace convkit::CK_ISA {
namespace {

constexpr int64_t kBlock = 64;  // values
static_assert(kUpdateChunk % kBlock == 0);

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
  step<kBlock>(before, rule, g, w, state...);
}

template <class T, class Rule, class... State>
CK_INLINE void step_chunk(const Before<T>& before, const Rule& rule, int64_t i, int64_t end,
                          const T* g, T* w, State*... state) {
  for (; i + kBlock <= end; i += kBlock) step_block(before, rule, g + i, w + i, (state + i)...);
  if (i == end) return;
  const auto bytes = static_cast<std::size_t>(end - i) * sizeof(T);
  constexpr std::size_t kWritten = 1 + sizeof...(State);
  alignas(64) T padded[kWritten][kBlock] = {};
  alignas(64) T gradient[kBlock] = {};
  T* const arrays[kWritten] = {w + i, (state + i)...};
  std::memcpy(gradient, g + i, bytes);
  for (std::size_t a = 0; a < kWritten; ++a) std::memcpy(padded[a], arrays[a], bytes);
  [&]<std::size_t... k>(std::index_sequence<k...>) {
    step_block(before, rule, gradient, padded[0], padded[1 + k]...);
  }(std::index_sequence_for<State...>{});
  for (std::size_t a = 0; a < kWritten; ++a) std::memcpy(arrays[a], padded[a], bytes);
}

// The two ways to drive a rule; `state` are the operands' numbers.
struct Naive {
  template <class T, class Rule, class... At>
  static void run(const Call& call, const Rule& rule, At... state) {
    const Before<T> before(call);
    const T* const g = call[0].as<T>();
    T* const w = call[call.count - 1].as<T>();
    for (int64_t i = 0; i < call[0].size(); ++i) {
      step<1>(before, rule, g + i, w + i, (call[state].template as<T>() + i)...);
    }
  }
};
struct Fast {
  template <class T, class Rule, class... At>
  static void run(const Call& call, const Rule& rule, At... state) {
    const Before<T> before(call);
    const Chunks chunks{call[0].size(), kUpdateChunk};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      step_chunk(before, rule, chunks.begin(chunk), chunks.end(chunk), call[0].as<T>(),
                 call[call.count - 1].as<T>(), call[state].template as<T>()...);
    });
  }
};

template <class Way>
void sgd(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    // A momentum that rounds to 0 still has a velocity.
    if (call.as<UpdateParams>().momentum == 0) {
      Way::template run<T>(call, PlainSgd<T>(call));
    } else {
      Way::template run<T>(call, Sgd<T>(call), 1);
    }
  });
}

template <class Way>
void rmsprop(const Call& call) {
  const bool centered = call[2].data != nullptr, momentum = call[3].data != nullptr;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (centered && momentum) {
      Way::template run<T>(call, RmsPropCenteredMomentum<T>(call), 1, 2, 3);
    } else if (centered) {
      Way::template run<T>(call, RmsPropCentered<T>(call), 1, 2);
    } else if (momentum) {
      Way::template run<T>(call, RmsPropMomentum<T>(call), 1, 3);
    } else {
      Way::template run<T>(call, RmsPropAlone<T>(call), 1);
    }
  });
}

template <class Way>
void adam(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (call[3].data != nullptr) {
      Way::template run<T>(call, AmsGrad<T>(call), 1, 2, 3);
    } else {
      Way::template run<T>(call, Adam<T>(call), 1, 2);
    }
  });
}

template <class Way, template <class> class Rule, class... At>
void run_rule(const Call& call, At... state) {
  dispatch_float(call[0].dtype,
                 [&]<class T>(T) { Way::template run<T>(call, Rule<T>(call), state...); });
}

}  // namespace

void update_naive_sgd(const Call& call) { sgd<Naive>(call); }
void update_naive_adagrad(const Call& call) { run_rule<Naive, Adagrad>(call, 1); }
void update_naive_adadelta(const Call& call) { run_rule<Naive, Adadelta>(call, 1, 2); }
void update_naive_rmsprop(const Call& call) { rmsprop<Naive>(call); }
void update_naive_adam(const Call& call) { adam<Naive>(call); }
void update_naive_nadam(const Call& call) { run_rule<Naive, Nadam>(call, 1, 2); }
void update_naive_adamax(const Call& call) { run_rule<Naive, Adamax>(call, 1, 2); }
void update_naive_lion(const Call& call) { run_rule<Naive, Lion>(call, 1); }

void update_simd_sgd(const Call& call) { sgd<Fast>(call); }
void update_simd_adagrad(const Call& call) { run_rule<Fast, Adagrad>(call, 1); }
void update_simd_adadelta(const Call& call) { run_rule<Fast, Adadelta>(call, 1, 2); }
void update_simd_rmsprop(const Call& call) { rmsprop<Fast>(call); }
void update_simd_adam(const Call& call) { adam<Fast>(call); }
void update_simd_nadam(const Call& call) { run_rule<Fast, Nadam>(call, 1, 2); }
void update_simd_adamax(const Call& call) { run_rule<Fast, Adamax>(call, 1, 2); }
void update_simd_lion(const Call& call) { run_rule<Fast, Lion>(call, 1); }

}  // namespace convkit::CK_ISA
