#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/upsample2d/upsample2d_axis.h"

namespace convkit::cuda {
namespace {

// Of an element of an image [N,height,width,C].
struct Pixel {
  int64_t image, row, column, channel;
  CK_DEVICE Pixel(int64_t i, int64_t height, int64_t width, int64_t channels) {
    const int64_t pixel = i / channels, line = pixel / width;
    channel = i - pixel * channels;
    column = pixel - line * width;
    image = line / height;
    row = line - image * height;
  }
};

template <class T>
struct Forward {
  const T* x;
  T* y;
  Axis rows, columns;
  int64_t C;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const Pixel at(i, rows.n * rows.size, columns.n * columns.size, C);
    const Tap<T> a = rows.tap<T>(at.row), b = columns.tap<T>(at.column);
    const T* const image = x + at.image * rows.n * columns.n * C + at.channel;
    const auto value = [&](int64_t h, int64_t w) {
      return load<n>(image + (h * columns.n + w) * C);
    };
    Pack<T, n> out = value(a.first, b.first);
    if (rows.bilinear) {
      const Pack<T, n> right = value(a.first, b.second);
      const Pack<T, n> below = value(a.second, b.first), both = value(a.second, b.second);
      CK_UNROLL
      for (int k = 0; k < n; ++k)
        out.v[k] = a.low * (b.low * out.v[k] + b.high * right.v[k]) +
                   a.high * (b.low * below.v[k] + b.high * both.v[k]);
    }
    store(y + i, out);
  }
};

// An element of dx collects from those of dy that it has a part in, in their order.
template <class T>
struct Backward {
  const T* dy;
  T* dx;
  Axis rows, columns;
  int64_t C;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const Pixel at(i, rows.n, columns.n, C);
    const int64_t P = rows.n * rows.size, Q = columns.n * columns.size;
    const T* const image = dy + at.image * P * Q * C + at.channel;
    Pack<T, n> sum = {};
    for (int64_t p = rows.begin(at.row); p < rows.end(at.row); ++p) {
      const T a = rows.weight<T>(p, at.row);
      for (int64_t q = columns.begin(at.column); q < columns.end(at.column); ++q) {
        const T part = a * columns.weight<T>(q, at.column);
        const Pack<T, n> values = load<n>(image + (p * Q + q) * C);
        CK_UNROLL
        for (int k = 0; k < n; ++k) sum.v[k] += part * values.v[k];
      }
    }
    store(dx + i, sum);
  }
};

template <template <class> class F, int x>
void resize(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Upsample2dParams& params = call.as<Upsample2dParams>();
    const int64_t C = call[0].shape[3];
    const bool packs = C % kPackSize<T> == 0 && packable(call[0].data, call[1].data);
    for_each_pack<kPackSize<T>>(call, call[1].size(), packs,
                                F<T>{call[0].as<T>(), call[1].as<T>(), rows_of(call[x], params),
                                     columns_of(call[x], params), C});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &resize<Forward, 0>},
    {"backward", "cuda_simple", kFloats, &resize<Backward, 1>},
};

}  // namespace

extern const Table upsample2d_cuda_table = {"upsample2d", rows};

}  // namespace convkit::cuda
