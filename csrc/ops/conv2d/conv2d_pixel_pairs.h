// Tiles of two pixels to a vector, for the forward pass of convolutions of one input channel and
// few output channels. For kernel sources only (core/isa.h).
#pragma once

#include "gemm/runs.h"
#include "gemm/tile.h"
#include "ops/activation/activation_apply.h"
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_implicit_gemm.h"

namespace convkit::CK_ISA {

// Pixel pairs: with one input channel and up to 8 output channels, a vector of AVX-512 holds two
// neighbouring output pixels, lane 2k+u channel k of pixel u. The taps of the pair are then the
// pair x[j], x[j+1], broadcast as one 8-byte value: no lane multiplies what it does not need.
template <class T>
CK_INLINE bool pixel_pairs_fit(const Conv2dShape& s, const Conv2dParams& params) {
  return CK_X86_64 && CK_ISA_LEVEL == 2 && sizeof(T) == 4 && s.C == 1 && params.stride_w == 1 &&
         2 * s.K <= Vec<T>::kLanes && s.Q >= 2;
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

// MR pairs, from a row of Q pixels.
template <int MR>
void forward_pair_tile(const ConvTaps& taps, const float* a, const float* b, const float* bias,
                       float* y, int64_t K) {
  using V = Vec<float>;
  V acc[MR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) acc[m] = V::loadu(bias);
  for (int64_t i = 0; i < taps.KH; ++i, a += taps.row) {
    const float* from = a;
    for (int64_t j = 0; j < taps.run; ++j, ++from, b += V::kLanes) {
      // Hides that the pairs of one tap are those of the last: GCC would carry them over in
      // general registers, at twice the cost of loading them.
      asm("" : "+r"(from));
      const V bv = V::loadu(b);
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        int64_t pair;
        __builtin_memcpy(&pair, from + 2 * m, sizeof(pair));
        acc[m] = fma(V((raw::F32)(raw::I64{} + pair)), bv, acc[m]);
      }
    }
  }
  // Lane u*K + k takes lane 2k + u.
  const int n = static_cast<int>(K);
  alignas(64) int32_t from[V::kLanes] = {};
  for (int i = 0; i < 2 * n; ++i) from[i] = 2 * (i % n) + i / n;
  const __m512i order = _mm512_load_si512(from);
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
    const V pixels(_mm512_maskz_permutexvar_ps(-1, order, acc[m].v));
    pixels.store_partial(y + 2 * m * K, 2 * n);
  }
}

CK_INLINE void forward_pixel_pairs(const ConvTaps& taps, const float* a, const float* b,
                                   const float* bias, float* y, int64_t Q, int64_t K) {
  constexpr int kMost = 14;
  for_each_tile(Q / 2, kMost, [&](int64_t m, int size) {
    with_int<kMost>(size, [&]<int MR>(Int<MR>) {
      forward_pair_tile<MR>(taps, a + 2 * m, b, bias, y + 2 * m * K, K);
    });
  });
  // The last of an odd number of pixels comes out of a pair with the one before it.
  if (Q % 2 != 0) forward_pair_tile<1>(taps, a + Q - 2, b, bias, y + (Q - 2) * K, K);
}

#endif

template <class T>
CK_INLINE void forward_pixel_pairs(const ConvTaps&, const T*, const T*, const T*, T*, int64_t,
                                   int64_t) {}

// The forward pass, where pixel pairs fit.
template <class T>
void forward_by_pixel_pairs(const Call& call) {
  const Conv2dParams& params = call.as<Conv2dParams>();
  const Conv2dShape s = conv2d_shape(call[0], call[1], call[3]);
  const ImplicitGemmPlan plan = implicit_gemm_plan(Conv2dPass::forward, s, params, call[0].dtype);
  const int64_t terms = s.KH * plan.run;
  T* const y = call[3].as<T>();
  T* const packed = reinterpret_cast<T*>(call.workspace);
  T* const bias = packed + terms * Vec<T>::kLanes;
  pack_pixel_pairs(call[1].as<T>(), terms, s.K, packed);
  clear_run(bias, Vec<T>::kLanes);
  if (call[2].present()) pack_pixel_pairs(call[2].as<T>(), 1, s.K, bias);
  call.pool->parallel_for(
      plan.tasks(),
      [&](int64_t index, int thread) {
        const ConvTask task(plan, index);
        T* const scratch =
            reinterpret_cast<T*>(call.workspace + plan.shared_bytes + thread * plan.slot_bytes);
        const ConvView<T> view = view_of(s, params, plan, task, call[0].as<T>(), scratch);
        const ConvTaps taps{s.KH, plan.run, params.dilation_h * view.row, params.stride_w * s.C};
        for_each_row(s, params, task, view, [&](const T* row, int64_t pixel) {
          forward_pixel_pairs(taps, row, packed, bias, y + pixel * s.K, s.Q, s.K);
        });
        const int64_t rows = (task.n1 - task.n0 - 1) * s.P + task.r1 - task.r0;
        apply_activation(static_cast<Activation>(params.activation), params.alpha,
                         y + (task.n0 * s.P + task.r0) * s.Q * s.K, rows * s.Q * s.K);
      },
      plan.max_threads());
}

}  // namespace convkit::CK_ISA
