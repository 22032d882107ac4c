// Depthwise convolution, one filter per channel: sums of products of vectors along the channels.
//
// A tap of the filter meets the pixels of an output row at a fixed distance from each other. All
// three passes are sums over such taps: backward_input reads dy with the filter turned round, one
// phase of a stride after the other.
#include "gemm/column_sums.h"
#include "gemm/runs.h"
#include "gemm/tree_sum.h"
#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_plan.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {
namespace {

// Output pixel t takes w[weight] times pixel `column + t * step` of a row of the input, where that
// lies in the row.
struct DepthwiseTap {
  int64_t weight, row, column;
};

struct Span {
  int64_t begin, end;
};

// The t in [0, n) for which column + t * step is in [0, width).
CK_INLINE Span inside(int64_t column, int64_t step, int64_t width, int64_t n) {
  const int64_t begin = column >= 0 ? 0 : ceil_div(-column, step);
  const int64_t end = column >= width ? 0 : smaller(ceil_div(width - column, step), n);
  return {smaller(begin, n), larger(end, smaller(begin, n))};
}

struct DepthwiseTaps {
  DepthwiseTap taps[kConv2dMaxDepthwiseTaps];
  int count = 0;
  int64_t step = 1;

  CK_INLINE void add(int64_t weight, int64_t row, int64_t column) {
    taps[count++] = {weight, row, column};
  }
  // Where all taps are inside.
  CK_INLINE Span common(int64_t width, int64_t n) const {
    Span all = {0, n};
    for (int k = 0; k < count; ++k) {
      const Span s = inside(taps[k].column, step, width, n);
      all = {larger(all.begin, s.begin), smaller(all.end, s.end)};
    }
    return {smaller(all.begin, n), larger(all.end, smaller(all.begin, n))};
  }
};

// n pixels of `to`, `pitch` pixels apart, from rows of `width` pixels at x.
template <class T>
void sum_taps(const DepthwiseTaps& list, const T* x, int64_t width, const T* w, int64_t C, T* to,
              int64_t pitch, int64_t n) {
  using V = Vec<T>;
  constexpr int64_t kPixels = 4;  // share a load of w
  const Span common = list.common(width, n);
  const int64_t step = list.step * C;
  each_vector<T>(C, [&](const auto& part) {
    const auto pixel = [&](int64_t t) {
      V sum = V::zero();
      for (int k = 0; k < list.count; ++k) {
        const DepthwiseTap& tap = list.taps[k];
        const int64_t column = tap.column + t * list.step;
        if (column < 0 || column >= width) continue;
        sum =
            fma(part.load(x + (tap.row * width + column) * C), part.load(w + tap.weight * C), sum);
      }
      part.store(to + t * pitch * C, sum);
    };
    int64_t t = 0;
    for (; t < common.begin; ++t) pixel(t);
    for (; t + kPixels <= common.end; t += kPixels) {
      V sum[kPixels];
      for (auto& s : sum) s = V::zero();
      for (int k = 0; k < list.count; ++k) {
        const DepthwiseTap& tap = list.taps[k];
        const V weight = part.load(w + tap.weight * C);
        const T* const from = x + (tap.row * width + tap.column + t * list.step) * C;
        for (int64_t u = 0; u < kPixels; ++u)
          sum[u] = fma(part.load(from + u * step), weight, sum[u]);
      }
      for (int64_t u = 0; u < kPixels; ++u) part.store(to + (t + u) * pitch * C, sum[u]);
    }
    for (; t < n; ++t) pixel(t);
  });
}

}  // namespace

void conv2d_depthwise_forward(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const DepthwisePlan plan = depthwise_plan(Conv2dPass::forward, s, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    call.pool->parallel_for(plan.rows.count(), [&](int64_t chunk, int) {
      for (int64_t r = plan.rows.begin(chunk); r < plan.rows.end(chunk); ++r) {
        const int64_t n = r / s.P, top = r % s.P * params.stride_h - params.pad_top;
        DepthwiseTaps list;
        list.step = params.stride_w;
        for (int64_t i = 0; i < s.KH; ++i) {
          const int64_t h = top + i * params.dilation_h;
          if (h < 0 || h >= s.H) continue;
          for (int64_t j = 0; j < s.KW; ++j)
            list.add(i * s.KW + j, h, j * params.dilation_w - params.pad_left);
        }
        T* const to = call[3].as<T>() + r * s.Q * s.K;
        sum_taps(list, call[0].as<T>() + n * s.H * s.W * s.C, s.W, call[1].as<T>(), s.C, to, 1,
                 s.Q);
        apply_bias_activation(call[2].as<T>(), static_cast<Activation>(params.activation),
                              params.alpha, to, s.Q, s.K, s.K);
      }
    });
  });
}

void conv2d_depthwise_backward_input(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[3], call[1], call[0]);
  const DepthwisePlan plan = depthwise_plan(Conv2dPass::backward_input, s, call[0].dtype);
  // Pixel h of x meets tap i in output row (h + pad - i * dilation) / stride, if that is whole.
  const auto meets = [](int64_t at, int64_t stride, int64_t size) {
    return at >= 0 && at % stride == 0 && at / stride < size;
  };
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Through<T> through(params, call[2], call[3]);
    call.pool->parallel_for(plan.rows.count(), [&](int64_t chunk, int) {
      for (int64_t r = plan.rows.begin(chunk); r < plan.rows.end(chunk); ++r) {
        const int64_t n = r / s.H, bottom = r % s.H + params.pad_top;
        const T* const dy = call[0].as<T>() + n * s.P * s.Q * s.K;
        T* const to = call[3].as<T>() + r * s.W * s.C;
        const int64_t pitch = params.stride_w;
        for (int64_t phase = 0; phase < smaller(pitch, s.W); ++phase) {
          DepthwiseTaps list;
          for (int64_t i = 0; i < s.KH; ++i) {
            const int64_t p = bottom - i * params.dilation_h;
            if (!meets(p, params.stride_h, s.P)) continue;
            for (int64_t j = 0; j < s.KW; ++j) {
              const int64_t q = phase + params.pad_left - j * params.dilation_w;
              // Exact, and so right for negative q, too.
              if (q % pitch == 0) list.add(i * s.KW + j, p / params.stride_h, q / pitch);
            }
          }
          sum_taps(list, dy, s.Q, call[1].as<T>(), s.C, to + phase * s.C, pitch,
                   ceil_div(s.W - phase, pitch));
        }
        through(r * s.W * s.C, s.W * s.C);
      }
    });
  });
}

void conv2d_depthwise_backward_weight(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  const DepthwisePlan plan = depthwise_plan(Conv2dPass::backward_weight, s, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    using V = Vec<T>;
    constexpr int64_t kTaps = 4;  // of a filter row, share a load of dy
    const int64_t weights = s.KH * s.KW * s.C, stride = plan.part_bytes / int64_t{sizeof(T)};
    T* const sums = reinterpret_cast<T*>(call.workspace);
    const int64_t step = params.stride_w;
    call.pool->parallel_for(plan.rows.count(), [&](int64_t part_at, int) {
      T* const dw = sums + part_at * stride;
      clear_run(dw, weights);
      for (int64_t r = plan.rows.begin(part_at); r < plan.rows.end(part_at); ++r) {
        const int64_t n = r / s.P, top = r % s.P * params.stride_h - params.pad_top;
        const T* const dy = call[0].as<T>() + r * s.Q * s.K;
        for (int64_t i = 0; i < s.KH; ++i) {
          const int64_t h = top + i * params.dilation_h;
          if (h < 0 || h >= s.H) continue;
          const T* const x = call[1].as<T>() + (n * s.H + h) * s.W * s.C;
          for (int64_t j0 = 0; j0 < s.KW; j0 += kTaps) {
            const int64_t taps = smaller(kTaps, s.KW - j0);
            const int64_t first = j0 * params.dilation_w - params.pad_left;
            const int64_t last = first + (taps - 1) * params.dilation_w;
            const Span a = inside(first, step, s.W, s.Q), b = inside(last, step, s.W, s.Q);
            // Where all of them are inside. (a begins and ends after b.)
            const int64_t begin = a.begin, end = larger(b.end, begin);
            each_vector<T>(s.C, [&](const auto& part) {
              V sum[kTaps];
              for (auto& v : sum) v = V::zero();
              const auto pixel = [&](int64_t q) {
                const V value = part.load(dy + q * s.C);
                for (int64_t j = 0; j < taps; ++j) {
                  const int64_t column = first + j * params.dilation_w + q * step;
                  if (column < 0 || column >= s.W) continue;
                  sum[j] = fma(part.load(x + column * s.C), value, sum[j]);
                }
              };
              int64_t q = b.begin;
              for (; q < smaller(begin, a.end); ++q) pixel(q);
              for (; q < end; ++q) {
                const V value = part.load(dy + q * s.C);
                const T* const from = x + (first + q * step) * s.C;
                for (int64_t j = 0; j < taps; ++j) {
                  sum[j] = fma(part.load(from + j * params.dilation_w * s.C), value, sum[j]);
                }
              }
              for (; q < a.end; ++q) pixel(q);
              for (int64_t j = 0; j < taps; ++j) {
                T* const to = dw + (i * s.KW + j0 + j) * s.C;
                part.store(to, part.load(to) + sum[j]);
              }
            });
          }
        }
      }
      const int64_t begin = plan.rows.begin(part_at), end = plan.rows.end(part_at);
      column_sums(call[0].as<T>() + begin * s.Q * s.K, (end - begin) * s.Q, s.K, dw + weights);
    });
    const int64_t parts = plan.rows.count();
    tree_sum(call.pool, sums, parts, stride, weights, call[2].as<T>());
    if (call[3].present()) {
      tree_sum(call.pool, sums + weights, parts, stride, s.K, call[3].as<T>());
    }
  });
}

}  // namespace convkit::CK_ISA
