// upsample2d with vectors along the channels, threaded over rows of what is written.
#include "gemm/runs.h"
#include "ops/upsample2d/upsample2d_axis.h"

namespace convkit::CK_ISA {
namespace {

CK_INLINE Chunks chunks_of(int64_t rows, int64_t row_values) {
  constexpr int64_t kChunk = 32768;
  return {rows, row_values >= kChunk ? 1 : kChunk / (row_values > 0 ? row_values : 1)};
}

// Calls f(load, store, c) for vectors over the channels [0, C): whole ones, then the rest.
template <class T, class F>
CK_INLINE void for_channels(int64_t C, const F& f) {
  using V = Vec<T>;
  int64_t c = 0;
  for (; c + V::kLanes <= C; c += V::kLanes) {
    f([c](const T* p) { return V::loadu(p + c); }, [c](T* p, V v) { v.storeu(p + c); });
  }
  const int rest = static_cast<int>(C - c);
  if (rest > 0) {
    f([=](const T* p) { return V::load_partial(p + c, rest); },
      [=](T* p, V v) { v.store_partial(p + c, rest); });
  }
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
      T* to = call[1].as<T>() + r * Q * C;
      for (int64_t q = 0; q < Q; ++q, to += C) {
        const Tap<T> b = columns.tap<T>(q);
        const int64_t left = b.first * C, right = b.second * C;
        for_channels<T>(C, [&](const auto& load, const auto& store) {
          const V top = V(b.low) * load(above + left) + V(b.high) * load(above + right);
          const V bottom = V(b.low) * load(below + left) + V(b.high) * load(below + right);
          store(to, V(a.low) * top + V(a.high) * bottom);
        });
      }
    }
  });
}

// Each pixel of dx collects from the pixels of y that it has a part in, in their order.
template <class T>
void backward(const Call& call, const Axis& rows, const Axis& columns) {
  using V = Vec<T>;
  const int64_t C = call[1].shape[3], H = rows.n, W = columns.n;
  const int64_t Q = W * columns.size;
  const Chunks chunks = chunks_of(call[1].shape[0] * H, rows.size * Q * C);
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t h = r % H;
      const T* const image = call[0].as<T>() + r / H * H * rows.size * Q * C;
      T* to = call[1].as<T>() + r * W * C;
      for (int64_t w = 0; w < W; ++w, to += C) {
        for_channels<T>(C, [&](const auto& load, const auto& store) {
          V sum = V::zero();
          for (int64_t p = rows.begin(h); p < rows.end(h); ++p) {
            V line = V::zero();
            for (int64_t q = columns.begin(w); q < columns.end(w); ++q) {
              const V value = load(image + (p * Q + q) * C);
              line += columns.bilinear ? V(columns.weight<T>(q, w)) * value : value;
            }
            sum += rows.bilinear ? V(rows.weight<T>(p, h)) * line : line;
          }
          store(to, sum);
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
