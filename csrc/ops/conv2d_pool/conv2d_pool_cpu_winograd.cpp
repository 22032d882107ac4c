// conv2d_pool by Winograd's method, for windows that lie in the tiles of its result: the forward
// pass takes the maximum of tiles in registers, a backward pass makes the rows of dz that a row of
// tiles reads.
#include "ops/conv2d/conv2d_winograd.h"
#include "ops/conv2d_pool/conv2d_pool_plan.h"
#include "ops/conv2d_pool/conv2d_pool_rows.h"

namespace convkit::CK_ISA {
namespace {

// The maxima over the windows of 2 x 2 of a tile, to y [N,PP,PQ,K] and, unless it is null, winner.
template <int M>
struct WinogradMaxima {
  const WinogradPass& pass;
  int64_t PP, PQ;
  float* y;
  uint8_t* winner;

  // `count` filters, from `first` on.
  void operator()(const WinogradTile& tile, int64_t first, int64_t count,
                  const float* products) const {
    const int64_t K = pass.c.s.K, p0 = tile.p / 2, q0 = tile.q / 2;
    each_vector<float>(count, [&](auto at) {
      Vec<float> z[M][M];
      winograd_results<M>(pass, products, first, at, z);
      activate(z);
#pragma GCC unroll 2
      for (int i = 0; i < M; i += 2) {
#pragma GCC unroll 2
        for (int j = 0; j < M; j += 2) {
          const int64_t p = p0 + i / 2, q = q0 + j / 2;
          if (p >= PP || q >= PQ) continue;
          const int64_t to = ((tile.n * PP + p) * PQ + q) * K + first;
          maximum({z[i][j], z[i][j + 1], z[i + 1][j], z[i + 1][j + 1]}, at, to);
        }
      }
    });
  }

 private:
  struct Window {
    Vec<float> z[4];
  };

  template <class At>
  CK_INLINE void maximum(const Window& window, At at, int64_t to) const {
    using V = Vec<float>;
    V best = window.z[0], won = V::zero();
#pragma GCC unroll 3
    for (int i = 1; i < 4; ++i) {
      // As in pool_row, so that the first of equal values and the first NaN wins.
      const Mask<float> better = (!(window.z[i] <= best)) & (best == best);
      best = select(better, window.z[i], best);
      won = select(better, V(static_cast<float>(i)), won);
    }
    at.store(y + to, best);
    if (winner == nullptr) return;
    store_winners_at(at, winner + to, __builtin_convertvector(won.v, typename V::Int));
  }

  // What is neither linear nor relu, which are done.
  CK_INLINE void activate(Vec<float> (&z)[M][M]) const {
    const Activation kind = static_cast<Activation>(pass.c.params.activation);
    if (kind == Activation::linear || kind == Activation::relu) return;
    constexpr int lanes = Vec<float>::kLanes;
    float values[M * M * lanes];
    for (int i = 0; i < M * M; ++i) z[i / M][i % M].storeu(values + i * lanes);
    apply_activation(kind, pass.c.params.alpha, values, M * M * lanes);
    for (int i = 0; i < M * M; ++i) z[i / M][i % M] = Vec<float>::loadu(values + i * lanes);
  }
};

}  // namespace

void conv2d_pool_winograd_forward(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[0], call[1], params);
  const Correlation c = forward_correlation(s, conv2d_of(params));
  const WinogradPass pass = winograd_pass(c, winograd_plan(c), call[1].as<const float>(),
                                          call[2].as<const float>(), call.workspace);
  const float* const x = call[0].as<float>();
  const auto rows = [&](int64_t n, int64_t, int64_t, int) { return x + n * s.H * s.W * s.C; };
  const auto pool = [&]<int M>(Int<M>) {
    const WinogradMaxima<M> maxima = {pass, call[3].shape[1], call[3].shape[2], call[3].as<float>(),
                                      call[4].as<uint8_t>()};
    run_winograd<M>(pass, call.pool, rows, maxima);
  };
  s.KH == 3 ? pool(Int<4>{}) : pool(Int<2>{});
}

void conv2d_pool_winograd_backward_input(const Call& call) {
  const auto& pooled = call.as<Conv2dPoolParams>();
  const Conv2dParams params = conv2d_of(pooled);
  const Conv2dShape s = conv2d_pool_shape(call[5], call[1], pooled);
  const Correlation c = backward_input_correlation(s, params);
  const WinogradPlan plan = winograd_unpool_plan(c);
  const UnpoolRow<float> unpool = unpool_row<float>(s, pooled, call[0], call[2], call[3]);
  const WinogradPass pass = winograd_pass(c, plan, call[1].as<const float>(), nullptr,
                                          call.workspace, Through<float>(params, call[4], call[5]));
  const int64_t scratch = (plan.slot_bytes - winograd_unpool_bytes(c)) / int64_t{sizeof(float)};
  const int64_t row = s.Q * s.K;
  run_winograd(
      pass, call.pool,
      [&](int64_t n, int64_t begin, int64_t end, int thread) {
        float* const dz = pass.slot(thread) + scratch;
        for (int64_t r = begin; r < end; ++r) unpool(n, r, dz + (r - begin) * row, s.K);
        return dz - begin * row;
      },
      call[5].as<float>());
}

}  // namespace convkit::CK_ISA
