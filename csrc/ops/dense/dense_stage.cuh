// dense as stages. What limits is loading the weights, which each block does once for all its
// samples, four at most, so their sums are in registers side by side.
#pragma once

#include "cuda/pack.cuh"
#include "cuda/stages.cuh"
#include "ops/activation/activation_formula.h"
#include "ops/dense/dense.h"

namespace convkit::cuda {

struct DenseStage : StageBody {
  int C, K, rows;  // rows of a sample
  int64_t all;     // rows of the batch

  explicit DenseStage(const Tensor& x, const Tensor& y)
      : C(static_cast<int>(x.last())),
        K(static_cast<int>(y.last())),
        rows(static_cast<int>(x.shape[0] ? x.rows() / x.shape[0] : 0)),
        all(x.rows()) {}

  int64_t weights() const { return int64_t{C} * K; }
  int64_t products() const { return int64_t{C} * K * (rows - 1); }

  // f(std::integral_constant<int, how many>{}, the first) for the rows of a block.
  template <class F>
  CK_DEVICE void for_rows(const Samples& s, const F& f) const {
    const int64_t begin = s.first * rows, end = begin + int64_t{s.count} * rows;
    if (end - begin == 1) return f(std::integral_constant<int, 1>{}, begin, 1);
    for (int64_t r = begin; r < end; r += 4)
      f(std::integral_constant<int, 4>{}, r, static_cast<int>(end - r < 4 ? end - r : 4));
  }
};

// Neighbouring threads have neighbouring columns. Where these are few, several threads share one,
// and each has every so-many-th term; x is in shared memory, the rows of a term side by side.
struct DenseForwardStage : DenseStage {
  static constexpr StageKind kKind = StageKind::dense_forward;
  static constexpr unsigned kBySample = operands(0, 3);
  const float *x, *w, *b;
  float* y;
  Activation activation;
  float alpha;

  explicit DenseForwardStage(const convkit::Call& call)
      : DenseStage(call[0], call[3]),
        x(call[0].as<float>()),
        w(call[1].as<float>()),
        b(call[2].as<float>()),
        y(call[3].as<float>()),
        activation(static_cast<Activation>(call.as<DenseParams>().activation)),
        alpha(static_cast<float>(call.as<DenseParams>().alpha)) {}

  static bool supports(const convkit::Call& call) { return call[0].rank >= 2; }

  // Of rows [first, first + count), at most kRows.
  template <int kRows>
  CK_DEVICE void make(int64_t first, int count, float* scratch) const {
    // As many terms at a time whatever kRows is: shares of them must be the same.
    constexpr int kTerms = 1024, kTogether = 8;
    static_assert((kTerms + kSampleThreads) * kMostTogether <= kScratchFloats);
    float* const sums_of = scratch + kTerms * kMostTogether;
    const int width = min(K, kSampleThreads), shares = kSampleThreads / width;
    const int column = threadIdx.x % width, share = threadIdx.x / width;
    for (int k0 = 0; k0 < K; k0 += width) {
      const int k = k0 + column;
      const bool works = share < shares && k < K;
      float sums[kRows] = {};
      for (int c0 = 0; c0 < C; c0 += kTerms) {
        const int terms = min(C - c0, kTerms);
        __syncthreads();
        for (int i = threadIdx.x; i < terms * kRows; i += kSampleThreads) {
          const int r = i / terms, c = i % terms;  // lanes read along x
          scratch[c * kRows + r] = x[(first + (r < count ? r : 0)) * C + c0 + c];
        }
        __syncthreads();
        if (!works) continue;
        const float* const weights = w + int64_t{c0} * K + k;
        int c = share;
        for (; c + (kTogether - 1) * shares < terms; c += kTogether * shares) {
          float of[kTogether];
          CK_UNROLL
          for (int u = 0; u < kTogether; ++u) of[u] = weights[(c + u * shares) * K];
          CK_UNROLL
          for (int u = 0; u < kTogether; ++u) {
            const auto value = load<kRows>(scratch + (c + u * shares) * kRows);
            CK_UNROLL
            for (int r = 0; r < kRows; ++r) sums[r] += value.v[r] * of[u];
          }
        }
        for (; c < terms; c += shares) {
          const float of = weights[c * K];
          CK_UNROLL
          for (int r = 0; r < kRows; ++r) sums[r] += scratch[c * kRows + r] * of;
        }
      }
      if (works) CK_UNROLL
      for (int r = 0; r < kRows; ++r) sums_of[(share * kRows + r) * width + column] = sums[r];
      __syncthreads();
      for (int i = threadIdx.x; i < width * count; i += kSampleThreads) {
        const int r = i / width, at = k0 + i % width;
        if (at >= K) continue;
        float sum = b != nullptr ? b[at] : 0.0f;
        for (int part = 0; part < shares; ++part)
          sum += sums_of[(part * kRows + r) * width + i % width];
        y[(first + r) * K + at] = activate(activation, alpha, sum);
      }
    }
  }

  CK_DEVICE void sample(const Samples& s) const {
    for_rows(s, [&](auto rows, int64_t first, int count) {
      make<decltype(rows)::value>(first, count, s.scratch);
      __syncthreads();
    });
  }
};

// A few lanes have a result, and neighbours neighbouring terms, along w and dy; four results
// together, so that their weights are on the way at once. From the last to the first: of the
// weights, the forward pass has left the last ones in the first-level cache.
struct DenseBackwardInputStage : DenseStage {
  static constexpr StageKind kKind = StageKind::dense_backward_input;
  static constexpr unsigned kBySample = operands(0, 2, 3);
  static constexpr int kResults = 4;
  const float *dy, *w, *x;
  float* dx;
  Activation through;
  float alpha;

  explicit DenseBackwardInputStage(const convkit::Call& call)
      : DenseStage(call[3], call[0]),
        dy(call[0].as<float>()),
        w(call[1].as<float>()),
        x(call[2].as<float>()),
        dx(call[3].as<float>()),
        through(static_cast<Activation>(call.as<DenseParams>().through)),
        alpha(static_cast<float>(call.as<DenseParams>().through_alpha)) {}

  static bool supports(const convkit::Call& call) { return call[0].rank >= 2; }

  template <int kRows, int kLanes>
  CK_DEVICE void make(int64_t first, int count) const {
    const int lane = threadIdx.x % kLanes, group = threadIdx.x / kLanes;
    // All lanes of a warp go round alike, for they add up together.
    constexpr int kRound = kSampleThreads / kLanes * kResults;
    for (int base = (C - 1) / kRound * kRound; base >= 0; base -= kRound) {
      const int c0 = base + group * kResults;
      float sums[kResults][kRows] = {};
      for (int k = lane; k < K; k += kLanes) {
        float of[kResults], by[kRows];
        CK_UNROLL
        for (int c = 0; c < kResults; ++c) of[c] = c0 + c < C ? w[(c0 + c) * K + k] : 0.0f;
        CK_UNROLL
        for (int r = 0; r < kRows; ++r) by[r] = dy[(first + (r < count ? r : 0)) * K + k];
        CK_UNROLL
        for (int c = 0; c < kResults; ++c) CK_UNROLL
        for (int r = 0; r < kRows; ++r) sums[c][r] += of[c] * by[r];
      }
      CK_UNROLL
      for (int c = 0; c < kResults; ++c) CK_UNROLL
      for (int r = 0; r < kRows; ++r) sums[c][r] = warp_sum<kLanes>(sums[c][r]);
      CK_UNROLL
      for (int c = 0; c < kResults; ++c) CK_UNROLL
      for (int r = 0; r < kRows; ++r) {
        if (lane != (c * kRows + r) % kLanes || c0 + c >= C || r >= count) continue;
        const int64_t at = (first + r) * C + c0 + c;
        dx[at] = sums[c][r];
      }
    }
  }

  CK_DEVICE void sample(const Samples& s) const {
    for_rows(s, [&](auto rows, int64_t first, int count) {
      if (K <= 16)
        make<decltype(rows)::value, 8>(first, count);
      else
        make<decltype(rows)::value, 32>(first, count);
    });
    if (through == Activation::linear) return;
    __syncthreads();
    s.each(int64_t{rows} * C,
           [&](int64_t i) { dx[i] *= activate_derivative_from_output(through, alpha, x[i]); });
  }
};

// A finish part alone: a block has 32 x 32 results, of dw and of db, which is its last row, and
// goes through the rows of the batch, a thread with 2 x 2 sums.
struct DenseBackwardWeightStage : DenseStage {
  static constexpr StageKind kKind = StageKind::dense_backward_weight;
  static constexpr unsigned kBySample = operands(0, 1);
  static constexpr bool kHasSamplePart = false;
  static constexpr unsigned kChecked = operands(2, 3);
  static constexpr int kTile = 32, kTerms = kFinishScratchFloats / 2 / kTile;
  const float *dy, *x;
  float *dw, *db;

  explicit DenseBackwardWeightStage(const convkit::Call& call)
      : DenseStage(call[1], call[0]),
        dy(call[0].as<float>()),
        x(call[1].as<float>()),
        dw(call[2].as<float>()),
        db(call[3].as<float>()) {}

  static bool supports(const convkit::Call& call) { return call[0].rank >= 2; }
  int64_t weights() const { return 0; }
  int64_t products() const { return 0; }
  int64_t finish_blocks() const { return ceil_div(C + 1, kTile) * ceil_div(K, kTile); }

  CK_DEVICE void finish(int block, float* scratch, bool& finite) const {
    const int across = (K + kTile - 1) / kTile;
    const int c0 = block / across * kTile, k0 = block % across * kTile;
    float* const of_x = scratch;
    float* const of_dy = scratch + kTerms * kTile;
    const int row = static_cast<int>(threadIdx.x) / 16 * 2, column = threadIdx.x % 16 * 2;
    float sums[2][2] = {};
    for (int64_t r0 = 0; r0 < all; r0 += kTerms) {
      const int terms = static_cast<int>(all - r0 < kTerms ? all - r0 : kTerms);
      for (int i = threadIdx.x; i < kTerms * kTile; i += kFinishThreads) {
        const int term = i / kTile, c = c0 + i % kTile, k = k0 + i % kTile;
        const bool there = term < terms;
        of_x[i] = !there || c > C ? 0.0f : c == C ? 1.0f : x[(r0 + term) * C + c];
        of_dy[i] = there && k < K ? dy[(r0 + term) * K + k] : 0.0f;
      }
      __syncthreads();
      for (int term = 0; term < terms; ++term) {
        const auto a = load<2>(of_x + term * kTile + row);
        const auto b = load<2>(of_dy + term * kTile + column);
        CK_UNROLL
        for (int i = 0; i < 2; ++i) CK_UNROLL
        for (int j = 0; j < 2; ++j) sums[i][j] += a.v[i] * b.v[j];
      }
      __syncthreads();
    }
    CK_UNROLL
    for (int i = 0; i < 2; ++i) CK_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int c = c0 + row + i, k = k0 + column + j;
      if (c > C || k >= K) continue;
      finite = finite && (is_finite(sums[i][j]) || (c == C && db == nullptr));
      if (c < C)
        dw[int64_t{c} * K + k] = sums[i][j];
      else if (db != nullptr)
        db[k] = sums[i][j];
    }
  }
};

}  // namespace convkit::cuda
