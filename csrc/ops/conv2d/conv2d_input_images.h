// backward_input of few channels for many images, one image to a lane. For kernel sources only
// (core/isa.h).
//
// With fewer channels than lanes, a pixel of dx does not fill a vector; the same value of 16 images
// does. dy is transposed row by row, and dx in the end, so that between them each multiply-add is
// one that the gradient needs.
#pragma once

#include "gemm/panels.h"
#include "gemm/runs.h"
#include "gemm/tile.h"
#include "ops/activation/activation_through.h"
#include "ops/conv2d/conv2d_plan.h"

namespace convkit::CK_ISA {

template <class T>
constexpr bool kImageLanes = sizeof(T) == 4 && CK_ISA_LEVEL == 2;

// Adds to M + KW - 1 neighbouring pixels of a row of dx, `pixel` apart, what M pixels of a row of
// dy [K, pixels, lanes] give one channel of them through one filter row, whose taps are `tap` apart
// in w.
template <class T, int M, int KW>
void image_lanes_tile(int64_t K, const T* dy, int64_t dy_filter, const T* w, int64_t tap, T* dx,
                      int64_t pixel) {
  using V = Vec<T>;
  V acc[M + KW - 1];
#pragma GCC unroll 16
  for (int x = 0; x < M + KW - 1; ++x) acc[x] = V::loadu(dx + x * pixel);
  for (int64_t k = 0; k < K; ++k, dy += dy_filter, ++w) {
    V value[M];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) value[m] = V::loadu(dy + m * V::kLanes);
#pragma GCC unroll 8
    for (int j = 0; j < KW; ++j) {
      const V weight = V::broadcast(w[j * tap]);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) acc[m + j] = fma(value[m], weight, acc[m + j]);
    }
  }
#pragma GCC unroll 16
  for (int x = 0; x < M + KW - 1; ++x) acc[x].storeu(dx + x * pixel);
}

// to[j*to_ld + i] = from[i*from_ld + j] for i < rows, j < columns. Of less than a square, vectors
// of `to` end with their rows, or with zeros if kPad.
template <bool kPad, class T>
CK_INLINE void transpose_lanes(const T* from, int64_t from_ld, int64_t rows, int64_t columns, T* to,
                               int64_t to_ld) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  if (rows == lanes && columns == lanes) return transpose_square(from, from_ld, to, to_ld);
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) to[j * to_ld + i] = from[i * from_ld + j];
    for (int64_t i = rows; kPad && i < lanes; ++i) to[j * to_ld + i] = 0;
  }
}

// All of dx.
template <class T, int KW>
void backward_input_by_images(const Conv2dShape& s, const Conv2dParams& params, const T* dy,
                              const T* w, std::byte* workspace, ThreadPool* pool, T* dx,
                              const Through<T>& through) {
  constexpr int64_t kLanes = Vec<T>::kLanes;
  constexpr int kSizes = kImageLanesMost - kImageLanesLeast + 1;
  const ImageLanesPlan plan = image_lanes_plan(s, params);
  const int64_t pixel = s.C * kLanes, line = (s.Q + KW - 1) * pixel;  // of dx, with its border
  const int64_t image = s.H * s.W * s.C, dy_filter = s.Q * kLanes;
  pool->parallel_for(
      plan.tasks(),
      [&](int64_t index, int thread) {
        const ConvTask task(plan, index);
        const int64_t images = task.n1 - task.n0, rows = task.r1 - task.r0;
        T* const sums = reinterpret_cast<T*>(workspace + thread * plan.slot_bytes);
        T* const row = sums + rows * line;  // of dy
        clear_run(sums, rows * line);
        for (int64_t p = 0; p < s.P; ++p) {
          const int64_t top = p * params.stride_h - params.pad_top - task.r0;
          if (top >= rows || top + (s.KH - 1) * params.dilation_h < 0) continue;
          const T* const from = dy + (task.n0 * s.P + p) * s.Q * s.K;
          for (int64_t q = 0; q < s.Q; ++q) {
            for (int64_t k = 0; k < s.K; k += kLanes) {
              transpose_lanes<true>(from + q * s.K + k, s.P * s.Q * s.K, images,
                                    smaller(s.K - k, kLanes), row + k * dy_filter + q * kLanes,
                                    dy_filter);
            }
          }
          for (int64_t i = 0; i < s.KH; ++i) {
            const int64_t h = top + i * params.dilation_h;
            if (h < 0 || h >= rows) continue;
            for (int64_t c = 0; c < s.C; ++c) {
              const T* const filter = w + (i * KW * s.C + c) * s.K;
              for_each_tile(s.Q, kImageLanesMost, [&](int64_t q, int size) {
                with_int<kSizes>(size - kImageLanesLeast + 1, [&]<int N>(Int<N>) {
                  image_lanes_tile<T, N + kImageLanesLeast - 1, KW>(
                      s.K, row + q * kLanes, dy_filter, filter, s.C * s.K,
                      sums + h * line + q * pixel + c * kLanes, pixel);
                });
              });
            }
          }
        }
        // Without a border the rows are one run.
        const bool whole = params.pad_left == 0 && params.pad_right == 0;
        const int64_t runs = whole ? 1 : rows, run = s.W * s.C * (whole ? rows : 1);
        T* const to = dx + task.n0 * image + task.r0 * s.W * s.C;
        for (int64_t r = 0; r < runs; ++r) {
          const T* const begin = sums + r * line + params.pad_left * pixel;
          for (int64_t j = 0; j < run; j += kLanes) {
            transpose_lanes<false>(begin + j * kLanes, kLanes, smaller(run - j, kLanes), images,
                                   to + r * run + j, image);
          }
        }
        for (int64_t n = task.n0; n < task.n1; ++n) {
          through(n * image + task.r0 * s.W * s.C, rows * s.W * s.C);
        }
      },
      plan.max_threads());
}

}  // namespace convkit::CK_ISA
