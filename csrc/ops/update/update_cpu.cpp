// Step sizes are computed in double and rounded once.
//
// Plain SGD rounds the product eta*g before it subtracts: no fused multiply-add, so that it is bit
// for bit NumPy's w - eta*g on every ISA. All else may be fused.
#include <cstring>

#include "ops/update/update.h"

namespace convkit::CK_ISA {
namespace {

constexpr int kBlock = 64;  // values
static_assert(kUpdateChunk % kBlock == 0);

template <class T>
struct Sgd {
  T eta, momentum, l2, shrink;  // g += l2*w; w -= shrink*w
  bool plain;                   // no momentum; one that rounds to 0 still has a velocity
  bool nesterov;
};

template <class T>
Sgd<T> sgd_of(const Call& call) {
  const UpdateParams& p = call.as<UpdateParams>();
  const double eta = call.step->learning_rate * p.lr_scale;
  return {static_cast<T>(eta),
          static_cast<T>(p.momentum),
          static_cast<T>(p.decoupled ? 0.0 : p.weight_decay),
          static_cast<T>(p.decoupled ? eta * p.weight_decay : 0.0),
          p.momentum == 0,
          p.nesterov != 0};
}

template <class T>
struct Adam {
  T eta, rate1, rate2, epsilon, l2, shrink;
};

template <class T>
Adam<T> adam_of(const Call& call) {
  const UpdateParams& p = call.as<UpdateParams>();
  const double eta = call.step->learning_rate * p.lr_scale;
  const double t = static_cast<double>(call.step->step) + 1;
  const double unbias =
      __builtin_sqrt(1.0 - __builtin_pow(p.beta2, t)) / (1.0 - __builtin_pow(p.beta1, t));
  return {static_cast<T>(eta * unbias),
          static_cast<T>(1.0 - p.beta1),
          static_cast<T>(1.0 - p.beta2),
          static_cast<T>(p.epsilon),
          static_cast<T>(p.decoupled ? 0.0 : p.weight_decay),
          static_cast<T>(p.decoupled ? eta * p.weight_decay : 0.0)};
}

CK_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
CK_INLINE double square_root(double x) { return __builtin_sqrt(x); }

// The steps of n values. A zero l2 or shrink must not touch g or w: 0*w is NaN for an infinite w.
template <class T>
CK_INLINE void sgd(const Sgd<T>& s, int64_t n, const T* __restrict g, T* __restrict v,
                   T* __restrict w) {
  for (int64_t i = 0; i < n; ++i) {
    const T grad = s.l2 != 0 ? g[i] + s.l2 * w[i] : g[i];
    const T weight = s.shrink != 0 ? w[i] - s.shrink * w[i] : w[i];
    v[i] = s.momentum * v[i] - s.eta * grad;
    w[i] = weight + (s.nesterov ? s.momentum * v[i] - s.eta * grad : v[i]);
  }
}

// The empty asm keeps the products from their subtractions, which the compiler would fuse.
template <class T, int64_t n>
CK_INLINE void plain_sgd(const Sgd<T>& s, const T* __restrict g, T* __restrict w) {
  T product[n];
  for (int64_t i = 0; i < n; ++i) product[i] = s.eta * (s.l2 != 0 ? g[i] + s.l2 * w[i] : g[i]);
  asm("" : "+m"(product));
  for (int64_t i = 0; i < n; ++i) {
    w[i] = (s.shrink != 0 ? w[i] - s.shrink * w[i] : w[i]) - product[i];
  }
}

template <class T>
CK_INLINE void adam(const Adam<T>& a, int64_t n, const T* __restrict g, T* __restrict m,
                    T* __restrict v, T* __restrict w) {
  for (int64_t i = 0; i < n; ++i) {
    const T grad = a.l2 != 0 ? g[i] + a.l2 * w[i] : g[i];
    const T weight = a.shrink != 0 ? w[i] - a.shrink * w[i] : w[i];
    m[i] += (grad - m[i]) * a.rate1;
    v[i] += (grad * grad - v[i]) * a.rate2;
    w[i] = weight - a.eta * m[i] / (square_root(v[i]) + a.epsilon);
  }
}

// One block as its own function: the last, shorter block goes through the same instructions, so a
// value's bits do not depend on where it lies.
template <class T>
__attribute__((noinline)) void sgd_block(const Sgd<T>& s, const T* g, T* v, T* w) {
  sgd(s, kBlock, g, v, w);
}
template <class T>
__attribute__((noinline)) void plain_sgd_block(const Sgd<T>& s, const T* g, T* w) {
  plain_sgd<T, kBlock>(s, g, w);
}
template <class T>
__attribute__((noinline)) void adam_block(const Adam<T>& a, const T* g, T* m, T* v, T* w) {
  adam(a, kBlock, g, m, v, w);
}

// Calls block(pointers) for all blocks of the arrays; those from `first_output` on are written.
template <int kArrays, int kFirstOutput, class T, class F>
CK_INLINE void for_blocks(const Call& call, T* const (&arrays)[kArrays], const F& block) {
  const Chunks chunks{call[0].size(), kUpdateChunk};
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    const int64_t end = chunks.end(chunk);
    int64_t i = chunks.begin(chunk);
    T* at[kArrays];
    for (; i + kBlock <= end; i += kBlock) {
      for (int a = 0; a < kArrays; ++a) at[a] = arrays[a] + i;
      block(at);
    }
    if (i == end) return;
    alignas(64) T padded[kArrays][kBlock] = {};
    for (int a = 0; a < kArrays; ++a) {
      at[a] = padded[a];
      std::memcpy(padded[a], arrays[a] + i, (end - i) * sizeof(T));
    }
    block(at);
    for (int a = kFirstOutput; a < kArrays; ++a) {
      std::memcpy(arrays[a] + i, padded[a], (end - i) * sizeof(T));
    }
  });
}

// In double: squares of float32 neither overflow nor vanish.
template <class T>
CK_INLINE double sum_of_squares(const T* g, int64_t n) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      lanes[l] += static_cast<double>(g[i + l]) * static_cast<double>(g[i + l]);
    }
  }
  for (int l = 0; i < n; ++i, ++l)
    lanes[l] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  }
  return lanes[0];
}

// What to multiply gradients with.
template <class T>
CK_INLINE T clipping(const Call& call) {
  const double norm = static_cast<double>(*call[0].as<T>());
  const double most = call.as<UpdateParams>().max_norm;
  return static_cast<T>(norm > most ? most / norm : 1.0);
}

}  // namespace

void update_naive_global_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    double sum = 0;
    for (int o = 0; o + 1 < call.count; ++o) {
      const T* const g = call[o].as<T>();
      for (int64_t i = 0; i < call[o].size(); ++i) sum += static_cast<double>(g[i]) * g[i];
    }
    *call[call.count - 1].as<T>() = static_cast<T>(__builtin_sqrt(sum));
  });
}

void update_naive_clip_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T factor = clipping<T>(call);
    T* const g = call[1].as<T>();
    for (int64_t i = 0; i < call[1].size(); ++i) g[i] *= factor;
  });
}

void update_simd_global_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    double* const sums = reinterpret_cast<double*>(call.workspace);
    int64_t count = 0;
    for (int o = 0; o + 1 < call.count; ++o) {
      const T* const g = call[o].as<T>();
      const Chunks chunks{call[o].size(), kUpdateChunk};
      call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
        const int64_t begin = chunks.begin(chunk);
        sums[count + chunk] = sum_of_squares(g + begin, chunks.end(chunk) - begin);
      });
      count += chunks.count();
    }
    for (int64_t step = 1; step < count; step *= 2) {
      for (int64_t i = 0; i + step < count; i += 2 * step) sums[i] += sums[i + step];
    }
    *call[call.count - 1].as<T>() = static_cast<T>(count > 0 ? __builtin_sqrt(sums[0]) : 0.0);
  });
}

void update_simd_clip_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T factor = clipping<T>(call);
    if (factor == 1) return;
    T* const g = call[1].as<T>();
    const Chunks chunks{call[1].size(), kUpdateChunk};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) g[i] *= factor;
    });
  });
}

void update_naive_sgd(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Sgd<T> s = sgd_of<T>(call);
    const T* g = call[0].as<T>();
    T* w = call[2].as<T>();
    if (!s.plain) {
      sgd(s, call[0].size(), g, call[1].as<T>(), w);
    } else {
      for (int64_t i = 0; i < call[0].size(); ++i) plain_sgd<T, 1>(s, g + i, w + i);
    }
  });
}

void update_naive_adam(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    adam(adam_of<T>(call), call[0].size(), call[0].as<T>(), call[1].as<T>(), call[2].as<T>(),
         call[3].as<T>());
  });
}

void update_simd_sgd(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Sgd<T> s = sgd_of<T>(call);
    T* const g = call[0].as<T>();
    T* const w = call[2].as<T>();
    if (!s.plain) {
      for_blocks<3, 1, T>(call, {g, call[1].as<T>(), w},
                          [&](T* const* at) { sgd_block(s, at[0], at[1], at[2]); });
    } else {
      for_blocks<2, 1, T>(call, {g, w}, [&](T* const* at) { plain_sgd_block(s, at[0], at[1]); });
    }
  });
}

void update_simd_adam(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Adam<T> a = adam_of<T>(call);
    for_blocks<4, 1, T>(call, {call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<T>()},
                        [&](T* const* at) { adam_block(a, at[0], at[1], at[2], at[3]); });
  });
}

}  // namespace convkit::CK_ISA
