// Blocks of rows with zeros around them (lrn_plan.h), threaded; vectors along the rows. A window's
// sum is taken anew at every place: a running one would keep the rounding errors of large values
// that have left the window.
#include <cstring>

#include "ops/lrn/lrn_plan.h"
#include "simd/math.h"

namespace convkit::CK_ISA {
namespace {

// d^-0.75 without a logarithm, and a / d.
struct ThreeQuarters {
  template <class T>
  CK_INLINE Vec<T> operator()(Vec<T> d) const {
    const Vec<T> root = sqrt(d);
    return T(1) / (root * sqrt(root));
  }
  template <class T>
  CK_INLINE Vec<T> divide(Vec<T> a, Vec<T> d) const {
    return a / d;
  }
#if CK_X86_64 && CK_ISA_LEVEL == 2
  // Roots and divisions of 16 floats take 10 to 20 cycles each, what is estimated and improved
  // four.
  CK_INLINE Vec<float> operator()(Vec<float> d) const {
    const Vec<float> r = reciprocal_sqrt(d);
    return select(r == Vec<float>::zero(), r, r * (r * reciprocal_sqrt(r)));
  }
  CK_INLINE Vec<float> divide(Vec<float> a, Vec<float> d) const {
    const Vec<float> r = reciprocal_sqrt(d);
    return a * r * r;
  }

  // d^-0.5 to 1.5 roundings: one step of Newton's from an estimate of 14 bits, which leaves
  // 3/8 * 2^-28 of its error. Of infinity it is 0, as the estimate says.
  CK_INLINE static Vec<float> reciprocal_sqrt(Vec<float> d) {
    const Vec<float> guess(_mm512_maskz_rsqrt14_ps(-1, d.v));
    const Vec<float> error = fma(-(d * guess), guess, Vec<float>(1.0f));
    return select(error == error, fma(guess * 0.5f, error, guess), guess);
  }
#endif
};

// d^-beta, and a / d.
struct Power {
  double beta;
  template <class T>
  CK_INLINE Vec<T> operator()(Vec<T> d) const {
    return exp(log(d) * static_cast<T>(-beta));
  }
  template <class T>
  CK_INLINE Vec<T> divide(Vec<T> a, Vec<T> d) const {
    return a / d;
  }
};

template <class F>
CK_INLINE void with_power(double beta, const F& f) {
  beta == 0.75 ? f(ThreeQuarters{}) : f(Power{beta});
}

template <class T>
CK_INLINE Vec<T> sum_of_squares(const T* p, int64_t stride, int64_t before, int64_t behind) {
  Vec<T> sum = Vec<T>::zero();
  for (int64_t j = -before; j <= behind; ++j) {
    const Vec<T> v = Vec<T>::loadu(p + j * stride);
    sum = fma(v, v, sum);
  }
  return sum;
}

template <class T>
CK_INLINE Vec<T> sum_of(const T* p, int64_t stride, int64_t before, int64_t behind) {
  Vec<T> sum = Vec<T>::zero();
  for (int64_t j = -before; j <= behind; ++j) sum += Vec<T>::loadu(p + j * stride);
  return sum;
}

// One block in scratch memory. The buffers' first values lie behind a margin of zeros; what stands
// between the rows is zero in x, dy and ratios, and of no interest in the others.
template <class T>
struct Block {
  const LrnPlan& plan;
  int64_t rows;

  CK_INLINE int64_t end() const { return rows * plan.pitch; }

  // Rows from x, and zeros elsewhere.
  void load(const T* x, T* to) const {
    std::memset(to - plan.margin, 0, plan.capacity * sizeof(T));
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(to + r * plan.pitch, x + r * plan.length, plan.length * sizeof(T));
    }
  }
  void store(const T* from, T* y) const {
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(y + r * plan.length, from + r * plan.pitch, plan.length * sizeof(T));
    }
  }
  // Zeros between the rows, and behind the last as far as a vector reaches.
  void clear_gaps(T* a) const {
    for (int64_t r = 0; r < rows; ++r) {
      T* const gap = a + r * plan.pitch + plan.length;
      std::memset(gap, 0, (plan.pitch - plan.length) * sizeof(T));
    }
    std::memset(a + end(), 0, LrnPlan::kVector * sizeof(T));
  }

  // f(i, d) for every vector: d = k + a (sum of squares over its window).
  template <class F>
  CK_INLINE void for_denominators(const LrnParams& p, const T* x, T* along, const F& f) const {
    const Vec<T> a = static_cast<T>(lrn_factor(p)), k = static_cast<T>(p.k);
    const auto [before, behind] = plan.across;
    constexpr int lanes = Vec<T>::kLanes;
    if (!plan.within) {
      for (int64_t i = 0; i < end(); i += lanes) {
        f(i, fma(a, sum_of_squares(x + i, 1, before, behind), k));
      }
      return;
    }
    clear_margins(along);
    for (int64_t i = 0; i < end(); i += lanes) {
      sum_of_squares(x + i, plan.step, before, behind).storeu(along + i);
    }
    for (int64_t i = 0; i < end(); i += lanes) {
      f(i, fma(a, sum_of(along + i, plan.pitch, plan.down.before, plan.down.behind), k));
    }
  }

  // f(i, s) for every vector: s is the sum of `ratios` over all whose window holds it.
  template <class F>
  CK_INLINE void for_mirrored_sums(const T* ratios, T* along, const F& f) const {
    const auto [before, behind] = plan.across;
    constexpr int lanes = Vec<T>::kLanes;
    if (!plan.within) {
      for (int64_t i = 0; i < end(); i += lanes) f(i, sum_of(ratios + i, 1, behind, before));
      return;
    }
    clear_margins(along);
    for (int64_t i = 0; i < end(); i += lanes) {
      sum_of(ratios + i, plan.step, behind, before).storeu(along + i);
    }
    for (int64_t i = 0; i < end(); i += lanes) {
      f(i, sum_of(along + i, plan.pitch, plan.down.behind, plan.down.before));
    }
  }

  void clear_margins(T* a) const {
    std::memset(a - plan.margin, 0, plan.margin * sizeof(T));
    std::memset(a + end(), 0, (plan.capacity - plan.margin - end()) * sizeof(T));
  }
};

// Calls f(block, first value of x, buffers) for every block.
template <class T, int64_t kBuffers, class F>
CK_INLINE void for_blocks(const Call& call, const LrnPlan& plan, const F& f) {
  T* const scratch = reinterpret_cast<T*>(call.workspace);
  const Chunks blocks = plan.blocks();
  const auto one_block = [&](int64_t chunk, int slot) {
    T* buffers[kBuffers];
    for (int64_t b = 0; b < kBuffers; ++b) {
      buffers[b] = scratch + (slot * kBuffers + b) * plan.capacity + plan.margin;
    }
    const int64_t begin = blocks.begin(chunk), rows = blocks.end(chunk) - begin;
    f(Block<T>{plan, rows}, begin * plan.length, buffers);
  };
  call.pool->parallel_for(blocks.count(), one_block,
                          static_cast<int>(plan.slots(kBuffers, sizeof(T))));
}

}  // namespace

void lrn_simd_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LrnParams& p = call.as<LrnParams>();
    const LrnPlan plan(call[0], p);
    with_power(p.beta, [&](auto power) {
      for_blocks<T, kLrnForwardBuffers>(
          call, plan, [&](const Block<T>& block, int64_t first, T** buffers) {
            T* const x = buffers[0];
            T* const y = buffers[2];
            block.load(call[0].as<T>() + first, x);
            block.for_denominators(p, x, buffers[1], [&](int64_t i, Vec<T> d) {
              (Vec<T>::loadu(x + i) * power(d)).storeu(y + i);
            });
            block.store(y, call[1].as<T>() + first);
          });
    });
  });
}

void lrn_simd_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LrnParams& p = call.as<LrnParams>();
    const LrnPlan plan(call[1], p);
    const Vec<T> factor = static_cast<T>(-2 * lrn_factor(p) * p.beta);
    with_power(p.beta, [&](auto power) {
      for_blocks<T, kLrnBackwardBuffers>(
          call, plan, [&](const Block<T>& block, int64_t first, T** buffers) {
            T* const x = buffers[0];
            T* const dx = buffers[2];
            T* const dy = buffers[3];
            T* const ratios = buffers[4];
            block.load(call[0].as<T>() + first, dy);
            block.load(call[1].as<T>() + first, x);
            block.clear_margins(ratios);
            block.for_denominators(p, x, buffers[1], [&](int64_t i, Vec<T> d) {
              const Vec<T> scaled = Vec<T>::loadu(dy + i) * power(d);
              scaled.storeu(dx + i);
              power.divide(scaled * Vec<T>::loadu(x + i), d).storeu(ratios + i);
            });
            block.clear_gaps(ratios);
            block.for_mirrored_sums(ratios, buffers[1], [&](int64_t i, Vec<T> sum) {
              fma(factor * Vec<T>::loadu(x + i), sum, Vec<T>::loadu(dx + i)).storeu(dx + i);
            });
            block.store(dx, call[2].as<T>() + first);
          });
    });
  });
}

}  // namespace convkit::CK_ISA
