// augment, pixel by pixel. Its gradient is gathered: a pixel of dx looks through those of dy.
//
// Maps are drawn by one thread of a block: sines, cosines and quotients in double take long.
// Compiled without fused multiply-adds, as on the CPU (ConvkitCuda.cmake).
#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "ops/augment/augment_map.h"

namespace convkit::cuda {
namespace {

// What both passes know, and the map of one image for all threads of a block.
struct Images {
  AugmentParams params;
  AugmentSizes sizes;
  int64_t C;
  const StepBlock* step;

  CK_DEVICE AugmentMap map_of(int64_t n) const {
    CK_SHARED(unsigned char, memory, [sizeof(AugmentMap)]);
    AugmentMap& shared = *reinterpret_cast<AugmentMap*>(memory);
    if (threadIdx.x == 0) shared = augment_map(params, *step, sizes, n);
    __syncthreads();
    return shared;
  }
  CK_DEVICE AugmentTap row(const AugmentMap& map, int64_t p, int64_t q) const {
    return augment_tap(params, map.row(p, q), sizes.H);
  }
  CK_DEVICE AugmentTap column(const AugmentMap& map, int64_t p, int64_t q) const {
    return augment_tap(params, map.column(p, q), sizes.W);
  }
};

// A block takes kPixels pixels of one image of y.
template <class T>
struct Forward {
  static constexpr int kThreads = 256;
  static constexpr int64_t kPixels = 1024;
  const T* x;
  T* y;
  Images images;
  T fill;

  static int64_t parts(const AugmentSizes& sizes) { return ceil_div(sizes.P * sizes.Q, kPixels); }

  CK_DEVICE void operator()() const {
    const AugmentSizes& sizes = images.sizes;
    const int64_t C = images.C, pixels = sizes.P * sizes.Q;
    const int64_t parts = (pixels + kPixels - 1) / kPixels;
    const int64_t n = blockIdx.x / parts, begin = blockIdx.x % parts * kPixels;
    const int64_t end = begin + kPixels < pixels ? begin + kPixels : pixels;
    const AugmentMap map = images.map_of(n);
    const T* const image = x + n * sizes.H * sizes.W * C;
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
      const int64_t p = i / sizes.Q, q = i - p * sizes.Q;
      augment_pixel(image, sizes.W, C, fill, images.row(map, p, q), images.column(map, p, q),
                    y + (n * pixels + i) * C);
    }
  }
};

// A block has a square of pixels of dx, each thread one, and kChannels channels. Where a pixel of
// dy came from is worked out square by square, and squares that came from elsewhere are passed
// over.
template <class T>
struct Backward {
  static constexpr int kThreads = 256, kSide = 16, kChannels = 4;
  const T* dy;
  T* dx;
  Images images;
  int64_t tall, wide, groups;  // squares of dx below and beside each other, groups of channels

  // Rows and columns of dx, or -1, and their weights.
  struct Source {
    int row[2], column[2];
    double of_row[2], of_column[2];
  };

  CK_DEVICE static bool inside(int i, int first) { return i >= first && i < first + kSide; }

  CK_DEVICE void operator()() const {
    CK_SHARED(Source, sources, [kThreads]);
    const AugmentSizes& sizes = images.sizes;
    const int64_t C = images.C, square = blockIdx.x / groups;
    const int64_t n = square / (tall * wide);
    const int first_row = static_cast<int>(square / wide % tall) * kSide;
    const int first_column = static_cast<int>(square % wide) * kSide;
    const int thread = static_cast<int>(threadIdx.x);
    const int row = first_row + thread / kSide, column = first_column + thread % kSide;
    const int64_t channel = blockIdx.x % groups * kChannels;
    const AugmentMap map = images.map_of(n);
    T sums[kChannels] = {};
    for (int64_t top = 0; top < sizes.P; top += kSide) {
      for (int64_t left = 0; left < sizes.Q; left += kSide) {
        const int64_t p = top + thread / kSide, q = left + thread % kSide;
        Source source = {{-1, -1}, {-1, -1}, {0, 0}, {0, 0}};
        if (p < sizes.P && q < sizes.Q)
          source = source_of(images.row(map, p, q), images.column(map, p, q));
        const bool touches =
            (inside(source.row[0], first_row) || inside(source.row[1], first_row)) &&
            (inside(source.column[0], first_column) || inside(source.column[1], first_column));
        if (!__syncthreads_or(touches)) continue;  // the same for all
        sources[thread] = source;
        __syncthreads();
        for (int k = 0; k < kThreads; ++k) {
          const Source& s = sources[k];
          const int64_t at = (n * sizes.P + top + k / kSide) * sizes.Q + left + k % kSide;
          CK_UNROLL
          for (int which = 0; which < 4; ++which) {
            const int h = which / 2, w = which % 2;
            if (s.row[h] == row && s.column[w] == column)
              add(static_cast<T>(s.of_row[h] * s.of_column[w]), dy + at * C, channel, sums);
          }
        }
      }
    }
    if (row >= sizes.H || column >= sizes.W) return;
    T* const to = dx + ((n * sizes.H + row) * sizes.W + column) * C;
    CK_UNROLL
    for (int k = 0; k < kChannels; ++k)
      if (channel + k < C) to[channel + k] = sums[k];
  }

  CK_DEVICE static Source source_of(const AugmentTap& h, const AugmentTap& w) {
    const auto at = [](int64_t i, double weight) { return weight == 0 ? -1 : static_cast<int>(i); };
    return {{at(h.first, h.low), at(h.second, h.high)},
            {at(w.first, w.low), at(w.second, w.high)},
            {h.low, h.high},
            {w.low, w.high}};
  }

  CK_DEVICE void add(T weight, const T* from, int64_t channel, T (&sums)[kChannels]) const {
    CK_UNROLL
    for (int k = 0; k < kChannels; ++k)
      if (channel + k < images.C) sums[k] += weight * from[channel + k];
  }
};

Images images_of(const Call& call, const Tensor& x, const Tensor& y) {
  return {call.as<AugmentParams>(), AugmentSizes(x, y), x.shape[3], call.step};
}

void forward(const Call& call) {
  if (call[1].size() == 0) return;
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Images images = images_of(call, call[0], call[1]);
    const int64_t blocks = call[0].shape[0] * Forward<T>::parts(images.sizes);
    launch(call, dim3(static_cast<unsigned>(blocks)),
           Forward<T>{call[0].as<T>(), call[1].as<T>(), images,
                      static_cast<T>(images.params.fill_value)});
  });
}

void backward(const Call& call) {
  if (call[1].size() == 0) return;
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using Kernel = Backward<T>;
    const Images images = images_of(call, call[1], call[0]);
    const int64_t tall = ceil_div(images.sizes.H, Kernel::kSide);
    const int64_t wide = ceil_div(images.sizes.W, Kernel::kSide);
    const int64_t groups = ceil_div(images.C, Kernel::kChannels);
    launch(call, dim3(static_cast<unsigned>(call[1].shape[0] * tall * wide * groups)),
           Kernel{call[0].as<T>(), call[1].as<T>(), images, tall, wide, groups});
  });
}

constexpr convkit::cuda::Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward", "cuda_simple", kFloats, &backward},
};

}  // namespace

extern const Table augment_cuda_table = {"augment", rows};

}  // namespace convkit::cuda
