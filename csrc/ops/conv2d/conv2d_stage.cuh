// conv2d as stages. A thread has a pixel of the result and four or eight of its channels in
// registers; the lanes of a warp have neighbouring pixels, and the same weights, which come from
// shared memory. Groups of channels are not among what these do.
#pragma once

#include "cuda/index.cuh"
#include "cuda/pack.cuh"
#include "cuda/stages.cuh"
#include "ops/activation/activation_formula.h"
#include "ops/conv2d/conv2d.h"

namespace convkit::cuda {

// A convolution in 32 bits: forward as it is, backward_input as the correlation of dy with what
// stands in w for each tap. `from` is the image that is read, `to` the one that is made.
template <bool kForward>
struct ConvStage : StageBody {
  static constexpr StageKind kKind =
      kForward ? StageKind::conv2d_forward : StageKind::conv2d_backward_input;
  static constexpr unsigned kBySample = kForward ? operands(0, 3) : operands(0, 2, 3);
  const float *from, *w, *extra;  // extra: the bias, or what `through` was the activation of
  float* to;
  int from_h, from_w, from_c, to_h, to_w, to_c;
  int KH, KW, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  Activation activation;
  float alpha;

  explicit ConvStage(const convkit::Call& call)
      : from(call[0].as<float>()),
        w(call[1].as<float>()),
        extra(call[2].as<float>()),
        to(call[3].as<float>()) {
    const Conv2dParams& params = call.as<Conv2dParams>();
    const auto size = [](const Tensor& t, int axis) { return static_cast<int>(t.shape[axis]); };
    from_h = size(call[0], 1), from_w = size(call[0], 2), from_c = size(call[0], 3);
    to_h = size(call[3], 1), to_w = size(call[3], 2), to_c = size(call[3], 3);
    KH = size(call[1], 0), KW = size(call[1], 1);
    stride_h = static_cast<int>(params.stride_h), stride_w = static_cast<int>(params.stride_w);
    pad_top = static_cast<int>(params.pad_top), pad_left = static_cast<int>(params.pad_left);
    dilation_h = static_cast<int>(params.dilation_h);
    dilation_w = static_cast<int>(params.dilation_w);
    activation = static_cast<Activation>(kForward ? params.activation : params.through);
    alpha = static_cast<float>(kForward ? params.alpha : params.through_alpha);
  }

  // The weights of eight channels must have room.
  static bool supports(const convkit::Call& call) {
    return call.as<Conv2dParams>().groups == 1 &&
           8 * checked_product(call[1].shape[0], call[1].shape[1], call[0].shape[3]) <=
               kScratchFloats;
  }
  int64_t products() const {
    return int64_t{terms()} * to_c * (kForward ? to_h * to_w : from_h * from_w);
  }

  CK_INLINE int terms() const { return KH * KW * from_c; }

  // Where tap i along an axis reads for place `at`; below 0 if nowhere.
  CK_DEVICE static int source(int at, int tap, int stride, int pad, int dilation, int size) {
    if constexpr (kForward) {
      const int place = at * stride - pad + tap * dilation;
      return place < size ? place : -1;
    } else {
      const int place = at + pad - tap * dilation;
      if (place < 0 || stride == 1) return place < size ? place : -1;
      return place % stride == 0 && place / stride < size ? place / stride : -1;
    }
  }

  // Of channel c of the result; in w that is the last axis, or the one before it.
  CK_DEVICE float weight(int term, int c) const {
    if constexpr (kForward) return w[term * to_c + c];
    return w[(term / from_c * to_c + c) * from_c + term % from_c];
  }

  template <int kChannels>
  CK_DEVICE void make(const Samples& s) const {
    const int pixels = to_h * to_w * s.count, terms = this->terms();
    const int fit = kScratchFloats / terms / kChannels * kChannels;
    for (int first = 0; first < to_c; first += fit) {
      const int parts = (min(to_c - first, fit) + kChannels - 1) / kChannels;
      const int width = parts * kChannels;
      if (first > 0) __syncthreads();
      for (int i = threadIdx.x; i < terms * width; i += kSampleThreads) {
        const int term = i / width, c = first + i % width;
        s.scratch[i] = c < to_c ? weight(term, c) : 0.0f;
      }
      __syncthreads();
      for (int i = threadIdx.x; i < pixels * parts; i += kSampleThreads) {
        const int part = i / pixels, pixel = i % pixels;
        make_pixel<kChannels>(s, pixel, first + part * kChannels, s.scratch + part * kChannels,
                              width);
      }
    }
  }

  // Channels [c, c + kChannels) of a pixel, with weights `width` apart from term to term.
  template <int kChannels>
  CK_DEVICE void make_pixel(const Samples& s, int pixel, int c, const float* weights,
                            int width) const {
    const int n = pixel / (to_h * to_w), rest = pixel % (to_h * to_w);
    const int p = rest / to_w, q = rest % to_w;
    const float* const image = from + (s.first + n) * from_h * from_w * from_c;
    float sums[kChannels] = {};
    if (kForward && extra != nullptr) CK_UNROLL
    for (int k = 0; k < kChannels; ++k) sums[k] = c + k < to_c ? extra[c + k] : 0.0f;
    for (int i = 0; i < KH; ++i) {
      const int h = source(p, i, stride_h, pad_top, dilation_h, from_h);
      if (h < 0) continue;
      for (int j = 0; j < KW; ++j) {
        const int v = source(q, j, stride_w, pad_left, dilation_w, from_w);
        if (v < 0) continue;
        const float* x = image + (h * from_w + v) * from_c;
        const float* by = weights + (i * KW + j) * from_c * width;
        for (int k = 0; k < from_c; ++k, by += width) {
          const float value = x[k];
          CK_UNROLL
          for (int four = 0; four < kChannels; four += 4) {
            const auto b = load<4>(by + four);
            CK_UNROLL
            for (int u = 0; u < 4; ++u) sums[four + u] += value * b.v[u];
          }
        }
      }
    }
    const int64_t at = ((s.first * to_h * to_w) + pixel) * to_c + c;
    // The sums move up, so that the formulas stand here once and no register needs an address.
    CK_ROLLED
    for (int k = 0; k < kChannels && c + k < to_c; ++k) {
      const float sum = sums[0];
      CK_UNROLL
      for (int u = 0; u + 1 < kChannels; ++u) sums[u] = sums[u + 1];
      if constexpr (kForward) {
        to[at + k] = activate(activation, alpha, sum);
      } else {
        to[at + k] = activation == Activation::linear
                         ? sum
                         : sum * activate_derivative_from_output(activation, alpha, extra[at + k]);
      }
    }
  }

  CK_DEVICE void sample(const Samples& s) const {
    // Fewer loads for a product, where there is work for all threads.
    if (to_c > 4 && to_h * to_w * s.count * ((to_c + 7) / 8) >= kSampleThreads) {
      make<8>(s);
    } else {
      make<4>(s);
    }
  }
};
using ConvForwardStage = ConvStage<true>;
using ConvBackwardInputStage = ConvStage<false>;

// The sample part makes each sample's own gradient, in the workspace; the finish part adds them up,
// in the order of samples. A thread has eight filters of a tap and channel (or of db, which stands
// behind them) over some rows of dy, and their threads add up what they have in shared memory.
struct ConvBackwardWeightStage : StageBody {
  static constexpr StageKind kKind = StageKind::conv2d_backward_weight;
  static constexpr unsigned kBySample = operands(0, 1);
  static constexpr int kFilters = 8;
  const float *dy, *x;
  float *dw, *db, *parts;  // parts [N][rows of dw, and one of db][K]
  int N, H, W, C, P, Q, K, KH, KW;
  int stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;

  explicit ConvBackwardWeightStage(const convkit::Call& call)
      : dy(call[0].as<float>()),
        x(call[1].as<float>()),
        dw(call[2].as<float>()),
        db(call[3].as<float>()),
        parts(reinterpret_cast<float*>(call.workspace)) {
    const Conv2dParams& params = call.as<Conv2dParams>();
    const Conv2dShape s = conv2d_shape(call[1], call[2], call[0]);
    N = static_cast<int>(s.N), H = static_cast<int>(s.H), W = static_cast<int>(s.W);
    C = static_cast<int>(s.C), P = static_cast<int>(s.P), Q = static_cast<int>(s.Q);
    K = static_cast<int>(s.K), KH = static_cast<int>(s.KH), KW = static_cast<int>(s.KW);
    stride_h = static_cast<int>(params.stride_h), stride_w = static_cast<int>(params.stride_w);
    pad_top = static_cast<int>(params.pad_top), pad_left = static_cast<int>(params.pad_left);
    dilation_h = static_cast<int>(params.dilation_h);
    dilation_w = static_cast<int>(params.dilation_w);
  }

  // Eight channels of dy must have room.
  static bool supports(const convkit::Call& call) {
    return call.as<Conv2dParams>().groups == 1 &&
           kFilters * checked_product(call[0].shape[1], call[0].shape[2]) <= kScratchFloats &&
           checked_product(call[0].shape[0], call[2].size() + call[2].shape[3]) < (1 << 28);
  }
  static Workspace workspace(const convkit::Call& call) {
    return checked_product(call[0].shape[0], call[2].size() + call[2].shape[3], 4);
  }
  int64_t products() const { return int64_t{P} * Q * K * KH * KW * C; }
  int64_t finish_blocks() const { return ceil_div(results(), 32); }
  CK_INLINE int rows() const { return KH * KW * C + 1; }
  CK_INLINE int results() const { return rows() * K; }

  // Adds up, over rows [begin, end) of dy, one row of dw for eight filters whose dy begins at `by`,
  // `width` apart from pixel to pixel.
  CK_DEVICE void add(const float* image, int row, const float* by, int width, int begin, int end,
                     float (&sums)[kFilters]) const {
    const bool bias = row == rows() - 1;
    const int c = row % C, tap = row / C, i = tap / KW, j = tap % KW;
    for (int p = begin; p < end; ++p) {
      const int h = p * stride_h - pad_top + i * dilation_h;
      if (!bias && (h < 0 || h >= H)) continue;
      const float* const line = image + h * W * C + c;
      for (int q = 0; q < Q; ++q) {
        const int v = q * stride_w - pad_left + j * dilation_w;
        float value = 1;
        if (!bias) {
          if (v < 0 || v >= W) continue;
          value = line[v * C];
        }
        const float* const at = by + (p * Q + q) * width;
        CK_UNROLL
        for (int four = 0; four < kFilters; four += 4) {
          const auto b = load<4>(at + four);
          CK_UNROLL
          for (int u = 0; u < 4; ++u) sums[four + u] += value * b.v[u];
        }
      }
    }
  }

  CK_DEVICE void sample_of(int64_t n, float* scratch) const {
    const float* const image = x + n * H * W * C;
    const float* const error = dy + n * P * Q * K;
    float* const to = parts + n * results();
    const int fit = kScratchFloats / (P * Q) / kFilters * kFilters;
    for (int first = 0; first < K; first += fit) {
      const int groups = (min(K - first, fit) + kFilters - 1) / kFilters;
      const int width = groups * kFilters, items = rows() * groups;
      __syncthreads();
      for (int i = threadIdx.x; i < P * Q * width; i += kSampleThreads) {
        const int pixel = i / width, k = first + i % width;
        scratch[i] = k < K ? error[pixel * K + k] : 0.0f;
      }
      __syncthreads();
      const int slices = max(min(kSampleThreads / items, P), 1), length = (P + slices - 1) / slices;
      if (slices > 1) {
        const int item = threadIdx.x % items, slice = threadIdx.x / items;
        float sums[kFilters] = {};
        if (slice < slices)
          add(image, item % rows(), scratch + item / rows() * kFilters, width, slice * length,
              min(slice * length + length, P), sums);
        __syncthreads();
        if (slice < slices) CK_UNROLL
        for (int k = 0; k < kFilters; ++k) scratch[(k * slices + slice) * items + item] = sums[k];
        __syncthreads();
        for (int i = threadIdx.x; i < items * kFilters; i += kSampleThreads) {
          const int k = i / items, of = i % items;
          float sum = 0;
          for (int part = 0; part < slices; ++part)
            sum += scratch[(k * slices + part) * items + of];
          const int filter = first + of / rows() * kFilters + k;
          if (filter < K) to[of % rows() * K + filter] = sum;
        }
      } else {
        for (int item = threadIdx.x; item < items; item += kSampleThreads) {
          const int row = item % rows(), group = item / rows();
          float sums[kFilters] = {};
          add(image, row, scratch + group * kFilters, width, 0, P, sums);
          CK_UNROLL
          for (int k = 0; k < kFilters; ++k) {
            const int filter = first + group * kFilters + k;
            if (filter < K) to[row * K + filter] = sums[k];
          }
        }
      }
    }
  }

  CK_DEVICE void sample(const Samples& s) const {
    for (int n = 0; n < s.count; ++n) sample_of(s.first + n, s.scratch);
  }

  // A block has 32 results; eight threads share one.
  CK_DEVICE void finish(int block, float* scratch) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, slice = static_cast<int>(threadIdx.x) / 32;
    const int i = block * 32 + lane;
    float sum = 0;
    if (i < results())
      for (int n = slice; n < N; n += kFinishThreads / 32) sum += parts[int64_t{n} * results() + i];
    scratch[threadIdx.x] = sum;
    __syncthreads();
    if (slice != 0 || i >= results()) return;
    for (int part = 1; part < kFinishThreads / 32; ++part) sum += scratch[part * 32 + lane];
    const int weights = results() - K;
    if (i < weights)
      dw[i] = sum;
    else if (db != nullptr)
      db[i - weights] = sum;
  }
};

}  // namespace convkit::cuda
