// The passes of pool2d as stages: a thread takes a value after the other.
#pragma once

#include "cuda/stages.cuh"
#include "ops/pool2d/pool2d_cuda.cuh"

namespace convkit::cuda {

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
  bool bytes;

  explicit MaxBackwardStage(const convkit::Call& call)
      : g(call[3], call[0], call.as<Pool2dParams>()),
        dy(call[0].as<float>()),
        x(call[2].as<float>()),
        argmax(call[1].data),
        dx(call[3].as<float>()),
        bytes(call[1].dtype == Dtype::uint8) {}

  CK_DEVICE void sample(const Samples& s) const {
    if (bytes) {
      s.each(g.H * g.W * g.C, pool2d::MaxBackward<float, uint8_t, 1>{
                                  g, dy, static_cast<const uint8_t*>(argmax), x, dx});
    } else {
      s.each(g.H * g.W * g.C, pool2d::MaxBackward<float, int32_t, 1>{
                                  g, dy, static_cast<const int32_t*>(argmax), x, dx});
    }
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

  explicit AverageBackwardStage(const convkit::Call& call)
      : g(call[2], call[0], call.as<Pool2dParams>()),
        dy(call[0].as<float>()),
        x(call[1].as<float>()),
        dx(call[2].as<float>()) {}

  CK_DEVICE void sample(const Samples& s) const {
    s.each(g.H * g.W * g.C, pool2d::AverageBackward<float, 1>{g, dy, x, dx});
  }
};

}  // namespace convkit::cuda
