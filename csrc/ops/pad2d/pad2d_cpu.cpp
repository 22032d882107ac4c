// pad2d: pixel by pixel, and row by row.
#include <cstring>

#include "ops/pad2d/pad2d.h"

namespace convkit::CK_ISA {
namespace {

// Rows to a chunk, so that it moves about 128 KB.
CK_INLINE Chunks chunks_of(int64_t rows, int64_t row_bytes) {
  constexpr int64_t kChunk = 128 << 10;
  return {rows, row_bytes >= kChunk ? 1 : kChunk / (row_bytes > 0 ? row_bytes : 1)};
}

}  // namespace

void pad2d_naive_forward(const Call& call) {
  const Pad2dParams& pad = call.as<Pad2dParams>();
  const int64_t H = call[0].shape[1], W = call[0].shape[2], C = call[0].shape[3];
  const int64_t P = call[1].shape[1], Q = call[1].shape[2];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    for (int64_t i = 0; i < call[1].size(); ++i) {
      const int64_t c = i % C, w = i / C % Q - pad.pad_left, n = i / (C * Q * P);
      const int64_t h = i / (C * Q) % P - pad.pad_top;
      const bool inside = h >= 0 && h < H && w >= 0 && w < W;
      y[i] = inside ? x[((n * H + h) * W + w) * C + c] : T(0);
    }
  });
}

void pad2d_naive_backward(const Call& call) {
  const Pad2dParams& pad = call.as<Pad2dParams>();
  const int64_t H = call[1].shape[1], W = call[1].shape[2], C = call[1].shape[3];
  const int64_t P = call[0].shape[1], Q = call[0].shape[2];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* dy = call[0].as<T>();
    T* dx = call[1].as<T>();
    for (int64_t i = 0; i < call[1].size(); ++i) {
      const int64_t c = i % C, w = i / C % W, h = i / (C * W) % H, n = i / (C * W * H);
      dx[i] = dy[((n * P + h + pad.pad_top) * Q + w + pad.pad_left) * C + c];
    }
  });
}

void pad2d_rows_forward(const Call& call) {
  const Pad2dParams pad = call.as<Pad2dParams>();
  const int64_t H = call[0].shape[1], P = call[1].shape[1];
  const int64_t pixel = call[0].shape[3] * (call[0].dtype == Dtype::float64 ? 8 : 4);
  const int64_t left = pad.pad_left * pixel, middle = call[0].shape[2] * pixel;
  const int64_t row = call[1].shape[2] * pixel;
  const Chunks chunks = chunks_of(call[1].shape[0] * P, row);
  if (row == 0) return;
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      char* const to = call[1].as<char>() + r * row;
      const int64_t n = r / P, h = r % P - pad.pad_top;
      if (h < 0 || h >= H) {
        std::memset(to, 0, row);
        continue;
      }
      std::memset(to, 0, left);
      std::memcpy(to + left, call[0].as<char>() + (n * H + h) * middle, middle);
      std::memset(to + left + middle, 0, row - left - middle);
    }
  });
}

void pad2d_rows_backward(const Call& call) {
  const Pad2dParams pad = call.as<Pad2dParams>();
  const int64_t H = call[1].shape[1], P = call[0].shape[1];
  const int64_t pixel = call[0].shape[3] * (call[0].dtype == Dtype::float64 ? 8 : 4);
  const int64_t left = pad.pad_left * pixel, middle = call[1].shape[2] * pixel;
  const int64_t row = call[0].shape[2] * pixel;
  const Chunks chunks = chunks_of(call[1].shape[0] * H, middle);
  if (middle == 0) return;
  call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
    for (int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
      const int64_t n = r / H, p = r % H + pad.pad_top;
      std::memcpy(call[1].as<char>() + r * middle, call[0].as<char>() + (n * P + p) * row + left,
                  middle);
    }
  });
}

}  // namespace convkit::CK_ISA
