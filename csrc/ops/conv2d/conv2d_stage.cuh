// conv2d as stages. Groups of channels are not among what these do.
#pragma once

#include "cuda/index.cuh"
#include "cuda/pack.cuh"
#include "cuda/stages.cuh"
#include "ops/activation/activation_formula.h"
#include "ops/conv2d/conv2d.h"

namespace convkit::cuda {

// A convolution in 32 bits: forward as it is, backward_input as the correlation of dy with the
// filters from right to left. `from` is the image that is read, `to` the one that is made.
//
// A thread has a pixel and eight channels of it in registers. Its warp has neighbouring pixels and
// the same weights, both in shared memory: the image with zeros left and right, and
// between its columns where backward_input has steps; its pixels an odd number of words apart, so
// that those of a warp are in different banks.
template <bool kForward>
struct ConvStage : StageBody {
  static constexpr StageKind kKind =
      kForward ? StageKind::conv2d_forward : StageKind::conv2d_backward_input;
  static constexpr unsigned kBySample = kForward ? operands(0, 3) : operands(0, 2, 3);
  static constexpr int kChannels = 8;
  const float *from, *w, *extra;  // extra: the bias, or what `through` was the activation of
  float* to;
  int from_h, from_w, from_c, to_h, to_w, to_c;
  int KH, KW, stride_h, stride_w, pad_top, dilation_h, dilation_w;
  int first;  // column of the staged image that is the first of `from`
  int wide;   // columns of the staged image
  Activation activation;
  float alpha;

  // What the shapes and parameters of a call say.
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
    pad_top = static_cast<int>(params.pad_top);
    dilation_h = static_cast<int>(params.dilation_h);
    dilation_w = static_cast<int>(params.dilation_w);
    const int pad = static_cast<int>(params.pad_left), reach = (KW - 1) * dilation_w;
    first = kForward ? pad : reach - pad;
    wide = (to_w - 1) * (kForward ? stride_w : 1) + reach + 1;
    activation = static_cast<Activation>(kForward ? params.activation : params.through);
    alpha = static_cast<float>(kForward ? params.alpha : params.through_alpha);
  }

  // The image and eight channels' weights must have room.
  static bool supports(const convkit::Call& call) {
    const Conv2dParams& params = call.as<Conv2dParams>();
    constexpr int64_t kMost = 1 << 12;
    if (params.groups != 1 || call[0].shape[2] > kMost || call[3].shape[2] > kMost ||
        call[1].shape[1] * params.dilation_w > kMost || params.stride_w > kMost)
      return false;
    const ConvStage stage(call);
    return checked_sum(checked_product(stage.from_h, stage.wide, stage.pitch()),
                       checked_product(kChannels, stage.terms())) <= kScratchFloats;
  }
  int64_t products() const {
    return int64_t{terms()} * to_c * (kForward ? to_h * to_w : from_h * from_w);
  }

  CK_INLINE int terms() const { return KH * KW * from_c; }
  CK_INLINE int pitch() const { return from_c | 1; }  // from pixel to pixel

  // The row that tap i reads for row p; below 0 if none.
  CK_DEVICE int row(int p, int i) const {
    if constexpr (kForward) {
      const int h = p * stride_h - pad_top + i * dilation_h;
      return h < from_h ? h : -1;
    } else {
      const int h = p + pad_top - i * dilation_h;
      if (h < 0 || stride_h == 1) return h < from_h ? h : -1;
      return h % stride_h == 0 && h / stride_h < from_h ? h / stride_h : -1;
    }
  }

  // Of channel c of the result; in w that is the last axis, or the one before it.
  CK_DEVICE float weight(int term, int c) const {
    if constexpr (kForward) return w[term * to_c + c];
    const int tap = term / from_c, i = tap / KW, j = KW - 1 - tap % KW;
    return w[((i * KW + j) * to_c + c) * from_c + term % from_c];
  }

  // A warp takes a row of the image, and four values of it at a time.
  CK_DEVICE void stage_image(const float* image, float* staged) const {
    const int lane = threadIdx.x % 32, values = wide * from_c;
    const int step = kForward ? 1 : stride_w;  // between columns
    const int over = 32 % from_c, columns = 32 / from_c;
    for (int h = threadIdx.x / 32; h < from_h; h += kSampleThreads / 32) {
      const float* const line = image + h * from_w * from_c;
      float* const out = staged + h * wide * pitch();
      int column = lane / from_c, c = lane % from_c;
      for (int t = lane; t < values; t += 128) {
        float value[4];
        int at[4];
        CK_UNROLL
        for (int u = 0; u < 4; ++u) {
          const int v = column - first;
          const bool there = v >= 0 && (step == 1 || v % step == 0) && v / step < from_w;
          value[u] = there ? line[(step == 1 ? v : v / step) * from_c + c] : 0.0f;
          at[u] = column * pitch() + c;
          column += columns, c += over;
          if (c >= from_c) c -= from_c, ++column;
        }
        CK_UNROLL
        for (int u = 0; u < 4; ++u)
          if (t + 32 * u < values) out[at[u]] = value[u];
      }
    }
  }

  // sums += weights^T x over `terms`, both one after the other.
  CK_DEVICE static void add(const float* x, const float* weights, int terms,
                            float (&sums)[kChannels]) {
    const auto term = [&](int t) {
      const float value = x[t];
      CK_UNROLL
      for (int four = 0; four < kChannels; four += 4) {
        const auto by = load<4>(weights + t * kChannels + four);
        CK_UNROLL
        for (int u = 0; u < 4; ++u) sums[four + u] += value * by.v[u];
      }
    };
    int t = 0;
    for (; t + 4 <= terms; t += 4) CK_UNROLL
    for (int u = 0; u < 4; ++u) term(t + u);
    CK_ROLLED
    for (; t < terms; ++t) term(t);
  }

  CK_DEVICE void make(int64_t n, float* scratch) const {
    const int pixels = to_h * to_w, terms = this->terms(), image = from_h * wide * pitch();
    const int room = round_up(image, 4);
    const int fit = (kScratchFloats - room) / terms / kChannels * kChannels;
    float* const weights = scratch + room;  // [part][term][kChannels]
    stage_image(from + n * from_h * from_w * from_c, scratch);
    for (int c0 = 0; c0 < to_c; c0 += fit) {
      const int parts = (min(to_c - c0, fit) + kChannels - 1) / kChannels;
      if (c0 > 0) __syncthreads();
      CK_ROLLED
      for (int i = threadIdx.x; i < terms * parts * kChannels; i += kSampleThreads) {
        const int of = i / kChannels, c = c0 + of / terms * kChannels + i % kChannels;
        weights[i] = c < to_c ? weight(of % terms, c) : 0.0f;
      }
      __syncthreads();
      for (int i = threadIdx.x; i < pixels * parts; i += kSampleThreads) {
        const int part = i / pixels;
        make_pixel(n, i % pixels, c0 + part * kChannels, scratch,
                   weights + part * terms * kChannels);
      }
    }
  }

  // Channels [c, c + kChannels) of a pixel.
  CK_DEVICE void make_pixel(int64_t n, int pixel, int c, const float* staged,
                            const float* weights) const {
    const int p = pixel / to_w, q = pixel % to_w;
    // Taps of a row that are all neighbours make one run.
    const bool all = pitch() == from_c && dilation_w == 1;
    const int run = all ? KW * from_c : from_c, runs = all ? 1 : KW;
    float sums[kChannels] = {};
    if (kForward && extra != nullptr) CK_UNROLL
    for (int k = 0; k < kChannels; ++k) sums[k] = c + k < to_c ? extra[c + k] : 0.0f;
    for (int i = 0; i < KH; ++i) {
      const int h = row(p, i);
      if (h < 0) continue;
      const float* x = staged + (h * wide + q * (kForward ? stride_w : 1)) * pitch();
      const float* by = weights + i * KW * from_c * kChannels;
      for (int j = 0; j < runs; ++j, x += dilation_w * pitch(), by += run * kChannels)
        add(x, by, run, sums);
    }
    const int64_t at = (n * to_h * to_w + pixel) * to_c + c;
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
    for (int n = 0; n < s.count; ++n) {
      if (n > 0) __syncthreads();
      make(s.first + n, s.scratch);
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
  static constexpr unsigned kChecked = operands(2, 3);
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
    // Where the tap is within the image.
    const int left = j * dilation_w - pad_left;
    const int q0 = bias || left >= 0 ? 0 : (-left + stride_w - 1) / stride_w;
    const int q1 = bias ? Q : left >= W ? 0 : min(Q, (W - 1 - left) / stride_w + 1);
    const int step = bias ? 0 : stride_w * C;
    for (int p = begin; p < end; ++p) {
      const int h = bias ? 0 : p * stride_h - pad_top + i * dilation_h;
      if (h < 0 || h >= H) continue;
      const float* value = bias ? nullptr : image + (h * W + q0 * stride_w + left) * C + c;
      const float* at = by + (p * Q + q0) * width;
      for (int q = q0; q < q1; ++q, value += step, at += width) {
        const float v = bias ? 1.0f : *value;
        CK_UNROLL
        for (int four = 0; four < kFilters; four += 4) {
          const auto b = load<4>(at + four);
          CK_UNROLL
          for (int u = 0; u < 4; ++u) sums[four + u] += v * b.v[u];
        }
      }
    }
  }

  // `filters` filters of dy, with zeros behind them, four values at a time.
  CK_DEVICE void stage_error(const float* error, int filters, int width, float* staged) const {
    const int values = P * Q * width, over = kSampleThreads % width;
    int pixel = static_cast<int>(threadIdx.x) / width, k = static_cast<int>(threadIdx.x) % width;
    for (int i = threadIdx.x; i < values; i += 4 * kSampleThreads) {
      float value[4];
      CK_UNROLL
      for (int u = 0; u < 4; ++u) {
        const bool there = i + u * kSampleThreads < values && k < filters;
        value[u] = there ? error[pixel * K + k] : 0.0f;
        pixel += kSampleThreads / width, k += over;
        if (k >= width) k -= width, ++pixel;
      }
      CK_UNROLL
      for (int u = 0; u < 4; ++u)
        if (i + u * kSampleThreads < values) staged[i + u * kSampleThreads] = value[u];
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
      stage_error(error + first, min(K - first, width), width, scratch);
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
  CK_DEVICE void finish(int block, float* scratch, bool& finite) const {
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
    finite = is_finite(sum) || (i >= weights && db == nullptr);
    if (i < weights)
      dw[i] = sum;
    else if (db != nullptr)
      db[i - weights] = sum;
  }
};

}  // namespace convkit::cuda
