// Tiles of two pixels to a vector, for convolutions of one input channel and few output channels.
// For kernel sources only (core/isa.h).
//
// With up to 8 output channels, a vector of AVX-512 holds two neighbouring output pixels, lane 2k+u
// channel k of pixel u. The taps of the pair are then the pair x[j], x[j+1], broadcast as one
// 8-byte value: no lane multiplies what it does not need.
#pragma once

#include "gemm/runs.h"
#include "gemm/tile.h"
#include "gemm/tree_sum.h"
#include "ops/activation/activation_apply.h"
#include "ops/conv2d/conv2d_implicit_gemm.h"
#include "ops/conv2d/conv2d_weight_plan.h"

namespace convkit::CK_ISA {

constexpr bool kPixelPairs = CK_X86_64 && CK_ISA_LEVEL == 2;

template <class T>
CK_INLINE bool pixel_pairs_fit(const Conv2dShape& s, const Conv2dParams& params) {
  return kPixelPairs && sizeof(T) == 4 && s.C == 1 && params.stride_w == 1 &&
         params.dilation_w == 1 && 2 * s.K <= Vec<T>::kLanes && s.Q >= 2 &&
         (s.KW == 3 || s.KW == 5 || s.KW == 7);
}

// Rows of K weights (or one of biases), each value twice, in vectors padded with zeros.
template <class T>
CK_INLINE void pack_pixel_pairs(const T* w, int64_t rows, int64_t K, T* packed) {
  clear_run(packed, rows * Vec<T>::kLanes);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < 2 * K; ++k) packed[i * Vec<T>::kLanes + k] = w[i * K + k / 2];
  }
}

#if CK_X86_64 && CK_ISA_LEVEL == 2

// The order of a pair's lanes, and that of its values in memory.
struct PairOrder {
  __m512i in_memory;  // lane u*K + k takes lane 2k + u
  __m512i in_pair;    // and the other way round
  int values;         // 2K

  CK_INLINE explicit PairOrder(int64_t K) : values(static_cast<int>(2 * K)) {
    const int n = static_cast<int>(K);
    alignas(64) int32_t memory[16] = {}, pair[16] = {};
    for (int u = 0; u < 2; ++u) {
      for (int k = 0; k < n; ++k) memory[u * n + k] = 2 * k + u, pair[2 * k + u] = u * n + k;
    }
    for (int i = 2 * n; i < 16; ++i) pair[i] = i;
    in_memory = _mm512_load_si512(memory), in_pair = _mm512_load_si512(pair);
  }
};

CK_INLINE Vec<float> permuted(__m512i order, Vec<float> v) {
  return Vec<float>(_mm512_maskz_permutexvar_ps(-1, order, v.v));
}

// x[0], x[1] in every pair of lanes.
CK_INLINE Vec<float> broadcast_pair(const float* x) {
  int64_t pair;
  __builtin_memcpy(&pair, x, sizeof(pair));
  return Vec<float>((raw::F32)(raw::I64{} + pair));
}

// x[0] and a zero in every pair of lanes.
CK_INLINE Vec<float> broadcast_first(const float* x) {
  uint32_t first;
  __builtin_memcpy(&first, x, sizeof(first));
  return Vec<float>((raw::F32)(raw::I64{} + static_cast<int64_t>(first)));
}

// MR pairs, from a row of Q pixels. A pair of values that is loaded once meets every second tap of
// a filter row, each for another pair of pixels.
template <int MR, int KW>
void forward_pair_tile(const ConvTaps& taps, const PairOrder& order, const float* a, const float* b,
                       const float* bias, float* y) {
  using V = Vec<float>;
  V acc[MR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) acc[m] = V::loadu(bias);
  for (int64_t i = 0; i < taps.KH; ++i, a += taps.row, b += KW * V::kLanes) {
    V w[KW];
#pragma GCC unroll 8
    for (int j = 0; j < KW; ++j) w[j] = V::loadu(b + j * V::kLanes);
    // Some pairs at a time, for which so many sums change in turn that none is waited for.
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
      constexpr int kPairs = 8;
      const int reach = MR + (KW - 1 - odd) / 2;
#pragma GCC unroll 4
      for (int first = 0; first < reach; first += kPairs) {
        V pair[kPairs];
#pragma GCC unroll 8
        for (int p = 0; p < kPairs; ++p) {
          if (first + p < reach) pair[p] = broadcast_pair(a + odd + 2 * (first + p));
        }
#pragma GCC unroll 4
        for (int j = odd; j < KW; j += 2) {
#pragma GCC unroll 8
          for (int p = 0; p < kPairs; ++p) {
            const int m = first + p - j / 2;
            if (m >= 0 && m < MR) acc[m] = fma(pair[p], w[j], acc[m]);
          }
        }
      }
    }
  }
  const __m512i in_memory = order.in_memory;
  const int values = order.values;
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) permuted(in_memory, acc[m]).store_partial(y + m * values, values);
}

// f(Int<KW>) for the widths of filters that there are tiles for.
template <class F>
CK_INLINE void with_pair_taps(int64_t KW, const F& f) {
  if (KW == 3) return f(Int<3>{});
  if (KW == 5) return f(Int<5>{});
  f(Int<7>{});
}

// The forward pass, where pixel pairs fit.
template <class T>
void forward_by_pixel_pairs(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const ImplicitGemmPlan plan = implicit_gemm_plan(Conv2dPass::forward, s, params, call[0].dtype);
  const int64_t terms = s.KH * plan.run;
  float* const y = call[3].as<float>();
  float* const packed = reinterpret_cast<float*>(call.workspace);
  float* const bias = packed + terms * Vec<float>::kLanes;
  pack_pixel_pairs(call[1].as<float>(), terms, s.K, packed);
  clear_run(bias, Vec<float>::kLanes);
  if (call[2].present()) pack_pixel_pairs(call[2].as<float>(), 1, s.K, bias);
  const PairOrder order(s.K);
  call.pool->parallel_for(
      plan.tasks(),
      [&](int64_t index, int thread) {
        const ConvTask task(plan, index);
        float* const scratch =
            reinterpret_cast<float*>(call.workspace + plan.shared_bytes + thread * plan.slot_bytes);
        const ConvView<float> view = view_of(s, params, plan, task, call[0].as<float>(), scratch);
        const ConvTaps taps{s.KH, plan.run, params.dilation_h * view.row, params.stride_w * s.C};
        with_pair_taps(s.KW, [&]<int KW>(Int<KW>) {
          for_each_row(s, params, task, view, [&](const float* row, int64_t pixel) {
            constexpr int kMost = 14;
            float* const to = y + pixel * s.K;
            for_each_tile(s.Q / 2, kMost, [&](int64_t m, int size) {
              with_int<kMost>(size, [&]<int MR>(Int<MR>) {
                forward_pair_tile<MR, KW>(taps, order, row + 2 * m, packed, bias, to + 2 * m * s.K);
              });
            });
            // The last of an odd number of pixels comes out of a pair with the one before it.
            const int64_t last = s.Q - 2;
            if (s.Q % 2 != 0) {
              forward_pair_tile<1, KW>(taps, order, row + last, packed, bias, to + last * s.K);
            }
          });
        });
        const int64_t rows = (task.n1 - task.n0 - 1) * s.P + task.r1 - task.r0;
        apply_activation(static_cast<Activation>(params.activation), params.alpha,
                         y + (task.n0 * s.P + task.r0) * s.Q * s.K, rows * s.Q * s.K);
      },
      plan.max_threads());
}

// Rows of x and of dy, Q pixels of K channels, that meet through filter row 0.
struct PairRows {
  int64_t rows, Q;
  const float* x;
  int64_t x_row, filter_row;  // from one row of dy, and from one filter row, to the next in x
  const float* dy;
};

// Adds to sums[I][J] what I filter rows of J taps gather from all rows, and, unless it is null, to
// `bias` the sum of dy.
template <int I, int J>
void weight_pair_tile(const PairRows& t, const PairOrder& order, float* sums, float* bias) {
  using V = Vec<float>;
  constexpr int64_t kAhead = 512;  // values of dy
  V acc[I][J], dy_sum = V::zero();
#pragma GCC unroll 8
  for (int i = 0; i < I; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) acc[i][j] = V::loadu(sums + (i * J + j) * V::kLanes);
  }
  const __m512i in_pair = order.in_pair;
  const float* dy = t.dy;
  for (int64_t r = 0; r < t.rows; ++r) {
    const float* x[I];
#pragma GCC unroll 8
    for (int i = 0; i < I; ++i) x[i] = t.x + r * t.x_row + i * t.filter_row;
    const auto add = [&](int64_t q, int values, const auto& broadcast) {
      const V pair = permuted(in_pair, V::load_partial(dy, values));
      dy_sum += pair;
#pragma GCC unroll 8
      for (int i = 0; i < I; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < J; ++j) acc[i][j] = fma(broadcast(x[i] + q + j), pair, acc[i][j]);
      }
    };
    int64_t q = 0;
    for (; q + 2 <= t.Q; q += 2, dy += order.values) {
      asm("" : "+r"(q));  // hides that the next pairs are among these
      __builtin_prefetch(dy + kAhead);
      add(q, order.values, [](const float* at) { return broadcast_pair(at); });
    }
    if (q == t.Q) continue;
    // The last of an odd number has no second pixel, and what lies there in x may be infinite.
    add(q, order.values / 2, [](const float* at) { return broadcast_first(at); });
    dy += order.values / 2;
  }
#pragma GCC unroll 8
  for (int i = 0; i < I; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) acc[i][j].storeu(sums + (i * J + j) * V::kLanes);
  }
  if (bias != nullptr) (V::loadu(bias) + dy_sum).storeu(bias);
}

// A row of sums of pairs becomes one of K values.
CK_INLINE void add_pairs(const float* sums, int64_t rows, int64_t K, float* to) {
  for (int64_t i = 0; i < rows; ++i, sums += Vec<float>::kLanes, to += K) {
    for (int64_t k = 0; k < K; ++k) to[k] = sums[2 * k] + sums[2 * k + 1];
  }
}

// backward_weight, where weight_pairs_fit.
CK_INLINE void backward_weight_by_pixel_pairs(const Call& call) {
  constexpr int64_t kLanes = Vec<float>::kLanes;
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
  const WeightPairsPlan plan = weight_pairs_plan(s, params);
  const int64_t taps = s.KH * s.KW, part_values = (taps + 1) * kLanes;
  float* const sums = reinterpret_cast<float*>(call.workspace);
  std::byte* const slots = call.workspace + plan.shared_bytes();
  const PairOrder order(s.K);
  call.pool->parallel_for(
      plan.parts,
      [&](int64_t part, int thread) {
        float* const image = reinterpret_cast<float*>(slots + thread * plan.slot_bytes);
        float* const to = sums + part * part_values;
        clear_run(to, part_values);
        const int64_t first = plan.first_task(part);
        for (int64_t task = first; task < plan.first_task(part + 1); ++task) {
          const int64_t n = task / plan.rows.count(), chunk = task % plan.rows.count();
          const int64_t r0 = plan.rows.begin(chunk), r1 = plan.rows.end(chunk);
          const int64_t top = r0 * params.stride_h - params.pad_top;
          const int64_t rows = (r1 - r0 - 1) * params.stride_h + (s.KH - 1) * params.dilation_h + 1;
          // Whole images leave the border as it is.
          if (task == first || plan.rows.count() > 1) clear_run(image, rows * plan.line);
          for (int64_t h = larger(-top, 0); h < smaller(rows, s.H - top); ++h) {
            copy_run(call[1].as<float>() + (n * s.H + top + h) * s.W, s.W,
                     image + h * plan.line + params.pad_left);
          }
          PairRows t = {r1 - r0,
                        s.Q,
                        image,
                        params.stride_h * plan.line,
                        params.dilation_h * plan.line,
                        call[0].as<float>() + (n * s.P + r0) * s.Q * s.K};
          float* const bias = to + taps * kLanes;
          if (s.KH == 3) weight_pair_tile<3, 3>(t, order, to, bias);
          if (s.KH == 5) weight_pair_tile<5, 5>(t, order, to, bias);
          if (s.KH != 7) continue;
          weight_pair_tile<4, 7>(t, order, to, bias);
          t.x += 4 * t.filter_row;
          weight_pair_tile<3, 7>(t, order, to + 28 * kLanes, nullptr);
        }
      },
      static_cast<int>(plan.slots));
  tree_sum(call.pool, sums, plan.parts, part_values, part_values, sums);
  add_pairs(sums, taps, s.K, call[2].as<float>());
  if (call[3].present()) add_pairs(sums + taps * kLanes, 1, s.K, call[3].as<float>());
}

#else

template <class T>
CK_INLINE void forward_by_pixel_pairs(const Call&) {}
CK_INLINE void backward_weight_by_pixel_pairs(const Call&) {}

#endif

}  // namespace convkit::CK_ISA
