// upsample2d with vectors along the channels, threaded over rows of what is written.
#include "gemm/runs.h"
#include "ops/upsample2d/upsample2d_axis.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {
namespace {

CK_INLINE Chunks chunks_of(int64_t rows, int64_t row_values) {
  constexpr int64_t kChunk = 32768;
  return {rows, row_values >= kChunk ? 1 : kChunk / (row_values > 0 ? row_values : 1)};
}

// A row of x becomes size_h rows of y: the first is made pixel by pixel, the others copy it.
template <class T>
void nearest_forward(const Call& call, const Axis& rows, const Axis& columns) {
  const int64_t C = call[0].shape[3], W = columns.n, width = W * columns.size * C;
  const Chunks chunks = chunks_of(call[0].shape[0] * rows.n, rows.size * width);
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const T* from = call[0].as<T>() + r * W * C;
      T* const first = call[1].as<T>() + r * rows.size * width;
      T* to = first;
      for (int64_t w = 0; w < W; ++w, from += C) {
        for (int64_t j = 0; j < columns.size; ++j, to += C) copy_run(from, C, to);
      }
      for (int64_t i = 1; i < rows.size; ++i) copy_run(first, width, first + i * width);
    }
  });
}

template <class T>
void bilinear_forward(const Call& call, const Axis& rows, const Axis& columns) {
  using V = Vec<T>;
  const int64_t C = call[0].shape[3], W = columns.n, P = rows.n * rows.size;
  const int64_t Q = W * columns.size;
  const Chunks chunks = chunks_of(call[0].shape[0] * P, Q * C);
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const Tap<T> a = rows.tap<T>(r % P);
      const T* const image = call[0].as<T>() + r / P * rows.n * W * C;
      const T* const above = image + a.first * W * C;
      const T* const below = image + a.second * W * C;
      T* const to = call[1].as<T>() + r * Q * C;
      columns.each_tap<T>([&](int64_t q, const Tap<T>& b) {
        const int64_t left = b.first * C, right = b.second * C;
        each_vector<T>(C, [&](auto at) {
          const V top = V(b.low) * at.load(above + left) + V(b.high) * at.load(above + right);
          const V bottom = V(b.low) * at.load(below + left) + V(b.high) * at.load(below + right);
          at.store(to + q * C, V(a.low) * top + V(a.high) * bottom);
        });
      });
    }
  });
}

// Each row of dx collects from the rows of y that it has a part in, in their order.
template <class T>
void backward(const Call& call, const Axis& rows, const Axis& columns) {
  using V = Vec<T>;
  const int64_t C = call[1].shape[3], H = rows.n, W = columns.n;
  const int64_t Q = W * columns.size;
  const Chunks chunks = chunks_of(call[1].shape[0] * H, rows.size * Q * C);
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t h = r % H;
      T* const to = call[1].as<T>() + r * W * C;
      clear_run(to, W * C);
      for (int64_t p = rows.begin(h); p < rows.end(h); ++p) {
        const T* const line = call[0].as<T>() + (r / H * H * rows.size + p) * Q * C;
        const T a = rows.weight<T>(p, h);
        columns.each_tap<T>([&](int64_t q, const Tap<T>& b) {
          T* const left = to + b.first * C;
          T* const right = to + b.second * C;
          const T a_low = a * b.low, a_high = a * b.high;
          if (C < V::kLanes) {  // a part of a vector that was just stored is slow to load again
            for (int64_t c = 0; c < C; ++c) {
              left[c] += a_low * line[q * C + c];
              if (columns.bilinear) right[c] += a_high * line[q * C + c];
            }
            return;
          }
          const V low(a_low), high(a_high);
          each_vector<T>(C, [&](auto at) {
            const V value = at.load(line + q * C);
            at.store(left, fma(low, value, at.load(left)));
            if (columns.bilinear) at.store(right, fma(high, value, at.load(right)));
          });
        });
      }
    }
  });
}

}  // namespace

void upsample2d_simd_forward(const Call& call) {
  const Upsample2dParams& params = call.as<Upsample2dParams>();
  const Axis rows = rows_of(call[0], params), columns = columns_of(call[0], params);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (rows.bilinear) {
      bilinear_forward<T>(call, rows, columns);
    } else {
      nearest_forward<T>(call, rows, columns);
    }
  });
}

void upsample2d_simd_backward(const Call& call) {
  const Upsample2dParams& params = call.as<Upsample2dParams>();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    backward<T>(call, rows_of(call[1], params), columns_of(call[1], params));
  });
}

}  // namespace convkit::CK_ISA
