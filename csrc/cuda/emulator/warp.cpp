// What lanes exchange. Compiled without -fsanitize=thread: to exchange orders no memory.
#include <bit>

#include "cuda/emulator/device.h"
#include "cuda/emulator/ptx.h"

namespace convkit::emulator {
namespace {

template <class F>
void each_lane(const Lanes& lanes, const F& f) {
  for (int lane = 0; lane < 32; ++lane)
    if ((lanes.present >> lane & 1) != 0) f(lane);
}

}  // namespace

void shuffle_lanes(const Lanes& lanes) {
  each_lane(lanes, [&](int lane) {
    const auto* own = static_cast<const Payload*>(lanes.in[lane]);
    const int source = own->source;
    if ((lanes.present >> source & 1) == 0)
      fail("a shuffle reads a lane that takes no part in it", lanes.site);
    *static_cast<Payload*>(lanes.out[lane]) = *static_cast<const Payload*>(lanes.in[source]);
  });
}

void ballot_lanes(const Lanes& lanes) {
  unsigned votes = 0;
  each_lane(lanes, [&](int lane) {
    votes |= static_cast<unsigned>(*static_cast<const int*>(lanes.in[lane])) << lane;
  });
  each_lane(lanes, [&](int lane) { *static_cast<unsigned*>(lanes.out[lane]) = votes; });
}

void gather_lanes(const Lanes& lanes) {
  each_lane(lanes, [&](int to) {
    auto* all = static_cast<Payload*>(lanes.out[to]);
    for (int from = 0; from < 32; ++from) all[from].source = -1;
    each_lane(lanes, [&](int from) { all[from] = *static_cast<const Payload*>(lanes.in[from]); });
  });
}

// ---- small matrices

namespace {

// D (16, 8) += A (16, K) B (K, 8) from numbers that are exact in float; the two functions put a
// lane's registers where they belong.
template <int K, class A, class B>
void multiply(const Lanes& lanes, const A& unpack_a, const B& unpack_b) {
  float a[16][K], b[K][8], d[16][8];
  // Number i of a lane's part of D.
  const auto at = [&](int lane, int i) -> float& {
    return d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
  };
  each_lane(lanes, [&](int lane) {
    const auto& operands = *static_cast<const MmaOperands*>(lanes.in[lane]);
    const int g = lane / 4, q = lane % 4;
    for (int i = 0; i < 4; ++i) unpack_a(operands.a[i], a[g + 8 * (i % 2)], q, i / 2);
    for (int i = 0; i < 2; ++i) unpack_b(operands.b[i], b, g, q, i);
    for (int i = 0; i < 4; ++i) at(lane, i) = operands.d[i];
  });
  for (auto& row : d)
    for (int k = 0; k < K; ++k)
      for (int j = 0; j < 8; ++j) row[j] += a[&row - d][k] * b[k][j];
  each_lane(lanes, [&](int lane) {
    auto* out = static_cast<float*>(lanes.out[lane]);
    for (int i = 0; i < 4; ++i) out[i] = at(lane, i);
  });
}

float low_half(uint32_t u) { return std::bit_cast<float>(u << 16); }
float high_half(uint32_t u) { return std::bit_cast<float>(u & 0xFFFF0000); }
// The unit reads no more of a register.
float tf32(uint32_t u) { return std::bit_cast<float>(u & 0xFFFFE000); }

}  // namespace

void mma_m16n8k8_tf32_lanes(const Lanes& lanes) {
  multiply<8>(
      lanes, [](uint32_t u, float (&row)[8], int q, int half) { row[q + 4 * half] = tf32(u); },
      [](uint32_t u, float (&b)[8][8], int g, int q, int i) { b[q + 4 * i][g] = tf32(u); });
}

void mma_m16n8k16_bf16_lanes(const Lanes& lanes) {
  multiply<16>(
      lanes,
      [](uint32_t u, float (&row)[16], int q, int half) {
        row[2 * q + 8 * half] = low_half(u);
        row[2 * q + 8 * half + 1] = high_half(u);
      },
      [](uint32_t u, float (&b)[16][8], int g, int q, int i) {
        b[2 * q + 8 * i][g] = low_half(u);
        b[2 * q + 8 * i + 1][g] = high_half(u);
      });
}

void ldmatrix_lanes(const Lanes& lanes, int matrices, bool transposed) {
  each_lane(lanes, [&](int lane) {
    auto* out = static_cast<uint32_t*>(lanes.out[lane]);
    for (int m = 0; m < matrices; ++m) {
      const auto number = [&](int row, int column) -> uint32_t {
        return static_cast<const MatrixRow*>(lanes.in[8 * m + row])->numbers[column];
      };
      const int r = lane / 4, c = 2 * (lane % 4);
      out[m] = transposed ? number(c, r) | number(c + 1, r) << 16
                          : number(r, c) | number(r, c + 1) << 16;
    }
  });
}

}  // namespace convkit::emulator
