// The passes of pool2d as stages. Most are a thread to a value, as in pool2d_cuda.cuh.
#pragma once

#include "cuda/stages.cuh"
#include "ops/pool2d/pool2d_cuda.cuh"

namespace convkit::cuda {

// Backward, where windows lie side by side and fill the image: a thread takes a window, whose dy is
// read once, and f(position in the window) tells what dx has of it.
inline bool tiles(const PoolGeometry& g) {
  return g.k.window_h == g.k.stride_h && g.k.window_w == g.k.stride_w &&
         g.H == g.P * g.k.window_h && g.W == g.Q * g.k.window_w && g.k.pad_top == 0 &&
         g.k.pad_left == 0;
}
template <class F>
CK_DEVICE void each_window(const Samples& s, const PoolGeometry& g, const float* x, float* dx,
                           const F& f) {
  const int C = static_cast<int>(g.C), Q = static_cast<int>(g.Q), P = static_cast<int>(g.P);
  const int window_h = static_cast<int>(g.k.window_h), window_w = static_cast<int>(g.k.window_w);
  const auto kind = static_cast<Activation>(g.k.through);
  const float alpha = static_cast<float>(g.k.through_alpha);
  const int64_t begin = s.first * P;  // rows of windows
  for (int i = threadIdx.x; i < s.count * P * Q * C; i += kSampleThreads) {
    const int c = i % C, q = i / C % Q, p = i / C / Q;
    const auto share = f(begin * Q * C + i);
    int64_t at = ((begin + p) * window_h * Q + q) * window_w * C + c;
    int position = 0;
    for (int h = 0; h < window_h; ++h, at += (Q - 1) * window_w * C) {
      CK_ROLLED
      for (int w = 0; w < window_w; ++w, at += C, ++position) {
        const float value = share(position);
        dx[at] = kind == Activation::linear
                     ? value
                     : value * activate_derivative_from_output(kind, alpha, x[at]);
      }
    }
  }
}

struct MaxForwardStage : StageBody {
  static constexpr StageKind kKind = StageKind::max_pool_forward;
  static constexpr unsigned kBySample = operands(0, 1, 2);
  PoolGeometry g;
  const float* x;
  float* y;
  void* argmax;
  bool bytes;  // are its type

  explicit MaxForwardStage(const convkit::Call& call)
      : g(call[0], call[1], call.as<Pool2dParams>()),
        x(call[0].as<float>()),
        y(call[1].as<float>()),
        argmax(call[2].data),
        bytes(call[2].dtype == Dtype::uint8) {}

  CK_DEVICE void sample(const Samples& s) const {
    if (bytes) {
      s.each(g.P * g.Q * g.C,
             pool2d::MaxForward<float, uint8_t, 1>{g, x, y, static_cast<uint8_t*>(argmax)});
    } else {
      s.each(g.P * g.Q * g.C,
             pool2d::MaxForward<float, int32_t, 1>{g, x, y, static_cast<int32_t*>(argmax)});
    }
  }
};

struct MaxBackwardStage : StageBody {
  static constexpr StageKind kKind = StageKind::max_pool_backward;
  static constexpr unsigned kBySample = operands(0, 1, 2, 3);
  PoolGeometry g;
  const float *dy, *x;
  const void* argmax;
  float* dx;
  bool bytes, tiled;

  explicit MaxBackwardStage(const convkit::Call& call)
      : g(call[3], call[0], call.as<Pool2dParams>()),
        dy(call[0].as<float>()),
        x(call[2].as<float>()),
        argmax(call[1].data),
        dx(call[3].as<float>()),
        bytes(call[1].dtype == Dtype::uint8),
        tiled(tiles(g)) {}

  template <class Index>
  CK_DEVICE void sample_of(const Samples& s, const Index* winners) const {
    if (!tiled)
      return s.each(g.H * g.W * g.C, pool2d::MaxBackward<float, Index, 1>{g, dy, winners, x, dx});
    each_window(s, g, x, dx, [&](int64_t i) {
      return [value = dy[i], winner = static_cast<int>(winners[i])](int position) {
        return position == winner ? value : 0.0f;
      };
    });
  }
  CK_DEVICE void sample(const Samples& s) const {
    if (bytes)
      sample_of(s, static_cast<const uint8_t*>(argmax));
    else
      sample_of(s, static_cast<const int32_t*>(argmax));
  }
};

struct AverageForwardStage : StageBody {
  static constexpr StageKind kKind = StageKind::average_pool_forward;
  static constexpr unsigned kBySample = operands(0, 1);
  PoolGeometry g;
  const float* x;
  float* y;

  explicit AverageForwardStage(const convkit::Call& call)
      : g(call[0], call[1], call.as<Pool2dParams>()),
        x(call[0].as<float>()),
        y(call[1].as<float>()) {}

  CK_DEVICE void sample(const Samples& s) const {
    s.each(g.P * g.Q * g.C, pool2d::AverageForward<float, 1>{g, x, y});
  }
};

struct AverageBackwardStage : StageBody {
  static constexpr StageKind kKind = StageKind::average_pool_backward;
  static constexpr unsigned kBySample = operands(0, 1, 2);
  PoolGeometry g;
  const float *dy, *x;
  float* dx;
  bool tiled;

  explicit AverageBackwardStage(const convkit::Call& call)
      : g(call[2], call[0], call.as<Pool2dParams>()),
        dy(call[0].as<float>()),
        x(call[1].as<float>()),
        dx(call[2].as<float>()),
        tiled(tiles(g)) {}

  CK_DEVICE void sample(const Samples& s) const {
    if (!tiled) return s.each(g.H * g.W * g.C, pool2d::AverageBackward<float, 1>{g, dy, x, dx});
    const float size = static_cast<float>(g.k.window_h * g.k.window_w);
    each_window(s, g, x, dx,
                [&](int64_t i) { return [value = dy[i] / size](int) { return value; }; });
  }
};

}  // namespace convkit::cuda
