// Convolution as a matrix product: the taps of each output pixel become a row of a column matrix,
// tile by tile (Chellapilla, Puri, Simard, 2006).
#include "gemm/blas.h"
#include "gemm/column_sums.h"
#include "gemm/runs.h"
#include "gemm/tree_sum.h"
#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_plan.h"

#if CK_HAVE_BLAS

namespace convkit::CK_ISA {
namespace {

// Walks over the taps of output pixels [begin, end) in group g in the order of the column matrix:
// inside(offset in x, n) for n values that lie next to each other in x, outside(n) for n values
// that lie in the padding.
template <class Inside, class Outside>
CK_INLINE void for_each_run(const Conv2dShape& s, const Conv2dParams& params, int64_t g,
                            int64_t begin, int64_t end, const Inside& inside,
                            const Outside& outside) {
  const int64_t C = s.C / params.groups;
  // With one group and no dilation, the taps of a filter row are one run.
  const bool joined = params.groups == 1 && params.dilation_w == 1;
  int64_t q = begin % s.Q, p = begin / s.Q % s.P, n = begin / (s.P * s.Q);
  for (int64_t m = begin; m < end; ++m) {
    const int64_t left = q * params.stride_w - params.pad_left;
    for (int64_t i = 0; i < s.KH; ++i) {
      const int64_t h = p * params.stride_h - params.pad_top + i * params.dilation_h;
      if (h < 0 || h >= s.H) {
        outside(s.KW * C);
        continue;
      }
      const int64_t row = (n * s.H + h) * s.W;
      if (joined) {
        const int64_t from = smaller(larger(-left, 0), s.KW);
        const int64_t to = larger(smaller(s.W - left, s.KW), from);
        if (from > 0) outside(from * C);
        if (to > from) inside((row + left + from) * C, (to - from) * C);
        if (s.KW > to) outside((s.KW - to) * C);
        continue;
      }
      for (int64_t j = 0; j < s.KW; ++j) {
        const int64_t v = left + j * params.dilation_w;
        if (v >= 0 && v < s.W) {
          inside((row + v) * s.C + g * C, C);
        } else {
          outside(C);
        }
      }
    }
    if (++q == s.Q) {
      q = 0;
      if (++p == s.P) p = 0, ++n;
    }
  }
}

// Rows of the column matrix; where the image serves as such, a pointer into it.
template <class T>
struct Columns {
  const T* data;
  int64_t ld;
};

template <class T>
CK_INLINE Columns<T> columns(const Conv2dShape& s, const Conv2dParams& params,
                             const Im2colPlan& plan, const T* x, int64_t g, int64_t begin,
                             int64_t end, T* scratch) {
  if (plan.direct) return {x + begin * s.C + g * (s.C / params.groups), s.C};
  T* to = scratch;
  for_each_run(
      s, params, g, begin, end,
      [&](int64_t offset, int64_t n) {
        copy_run(x + offset, n, to);
        to += n;
      },
      [&](int64_t n) {
        clear_run(to, n);
        to += n;
      });
  return {scratch, plan.terms};
}

}  // namespace

void conv2d_im2col_forward(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const Im2colPlan plan = im2col_plan(s, params, call[0].dtype);
  const int64_t K = s.K / params.groups;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const x = call[0].as<T>();
    const T* const w = call[1].as<T>();
    T* const y = call[3].as<T>();
    call.pool->parallel_for(
        plan.tiles.count(),
        [&](int64_t tile, int thread) {
          const int64_t begin = plan.tiles.begin(tile), end = plan.tiles.end(tile);
          T* const scratch = reinterpret_cast<T*>(call.workspace + thread * plan.column_bytes);
          T* const to = y + begin * s.K;
          for (int64_t g = 0; g < params.groups; ++g) {
            const Columns<T> col = columns(s, params, plan, x, g, begin, end, scratch);
            gemm(false, false, end - begin, K, plan.terms, T(1), col.data, col.ld, w + g * K, s.K,
                 T(0), to + g * K, s.K);
          }
          apply_bias_activation(call[2].as<T>(), static_cast<Activation>(params.activation),
                                params.alpha, to, end - begin, s.K, s.K);
        },
        plan.max_threads());
  });
}

void conv2d_im2col_backward_input(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[3], call[1], call[0]);
  const Im2colPlan plan = im2col_plan(s, params, call[0].dtype);
  const int64_t C = s.C / params.groups, K = s.K / params.groups;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const w = call[1].as<T>();
    T* const dx = call[3].as<T>();
    const Through<T> through(params, call[2], call[3]);
    // A chunk owns its images, so the columns that overlap meet in a fixed order.
    call.pool->parallel_for(
        plan.images.count(),
        [&](int64_t chunk, int thread) {
          const int64_t first = plan.images.begin(chunk), last = plan.images.end(chunk);
          T* const scratch = reinterpret_cast<T*>(call.workspace + thread * plan.column_bytes);
          if (!plan.direct)
            clear_run(dx + first * s.H * s.W * s.C, (last - first) * s.H * s.W * s.C);
          const int64_t stop = last * s.P * s.Q;
          for (int64_t begin = first * s.P * s.Q; begin < stop; begin += plan.tiles.size) {
            const int64_t end = smaller(begin + plan.tiles.size, stop);
            for (int64_t g = 0; g < params.groups; ++g) {
              T* const to = plan.direct ? dx + begin * s.C + g * C : scratch;
              gemm(false, true, end - begin, plan.terms, K, T(1), dy + begin * s.K + g * K, s.K,
                   w + g * K, s.K, T(0), to, plan.direct ? s.C : plan.terms);
              if (plan.direct) continue;
              const T* from = scratch;
              for_each_run(
                  s, params, g, begin, end,
                  [&](int64_t offset, int64_t n) {
                    add_run(from, n, dx + offset);
                    from += n;
                  },
                  [&](int64_t n) { from += n; });
            }
          }
          through(first * s.H * s.W * s.C, (last - first) * s.H * s.W * s.C);
        },
        plan.max_threads());
  });
}

void conv2d_im2col_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  const Im2colPlan plan = im2col_plan(s, params, call[0].dtype);
  const int64_t K = s.K / params.groups;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* const dy = call[0].as<T>();
    const T* const x = call[1].as<T>();
    T* const db = call[3].as<T>();
    const int64_t parts = plan.parts.count();
    const int64_t weights = plan.terms * s.K;
    const auto part_sums = [&](int64_t part) {
      return reinterpret_cast<T*>(call.workspace + part * plan.part_bytes);
    };
    call.pool->parallel_for(parts, [&](int64_t part, int) {
      T* const dw = part_sums(part);
      T* const scratch =
          reinterpret_cast<T*>(call.workspace + parts * plan.part_bytes + part * plan.column_bytes);
      const int64_t first = plan.parts.begin(part), last = plan.parts.end(part);
      for (int64_t tile = first; tile < last; ++tile) {
        const int64_t begin = plan.tiles.begin(tile), end = plan.tiles.end(tile);
        for (int64_t g = 0; g < params.groups; ++g) {
          const Columns<T> col = columns(s, params, plan, x, g, begin, end, scratch);
          gemm(true, false, plan.terms, K, end - begin, T(1), col.data, col.ld,
               dy + begin * s.K + g * K, s.K, T(tile > first), dw + g * K, s.K);
        }
      }
      if (db != nullptr) {
        const int64_t begin = plan.tiles.begin(first), end = plan.tiles.end(last - 1);
        column_sums(dy + begin * s.K, end - begin, s.K, dw + weights);
      }
    });
    tree_sum(call.pool, part_sums(0), parts, plan.part_bytes / int64_t{sizeof(T)}, weights,
             call[2].as<T>());
    if (db != nullptr) {
      tree_sum(call.pool, part_sums(0) + weights, parts, plan.part_bytes / int64_t{sizeof(T)}, s.K,
               db);
    }
  });
}

}  // namespace convkit::CK_ISA

#endif  // CK_HAVE_BLAS
