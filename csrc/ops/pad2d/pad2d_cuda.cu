#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/pad2d/pad2d.h"

namespace convkit::cuda {
namespace {

// Where rows lie: a padded one is `left` values, then those of a row of the image, then the rest.
struct Frame {
  int64_t H, P, top;            // rows of the image and of the padded one
  int64_t left, middle, width;  // values

  Frame(const Tensor& image, const Tensor& padded, const Pad2dParams& pad)
      : H(image.shape[1]),
        P(padded.shape[1]),
        top(pad.pad_top),
        left(pad.pad_left * image.shape[3]),
        middle(image.shape[2] * image.shape[3]),
        width(padded.shape[2] * padded.shape[3]) {}
  bool in_packs_of(int64_t n) const { return left % n == 0 && middle % n == 0 && width % n == 0; }
};

template <class T>
struct Pad {
  const T* x;
  T* y;
  Frame frame;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const int64_t row = i / frame.width, j = i - row * frame.width - frame.left;
    const int64_t image = row / frame.P, h = row - image * frame.P - frame.top;
    Pack<T, n> values = {};
    if (h >= 0 && h < frame.H && j >= 0 && j < frame.middle)
      values = load<n>(x + (image * frame.H + h) * frame.middle + j);
    store(y + i, values);
  }
};

template <class T>
struct Crop {
  const T* dy;
  T* dx;
  Frame frame;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const int64_t row = i / frame.middle, j = i - row * frame.middle + frame.left;
    const int64_t image = row / frame.H, p = row - image * frame.H + frame.top;
    store(dx + i, load<n>(dy + (image * frame.P + p) * frame.width + j));
  }
};

template <template <class> class F, bool forward>
void move(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Frame frame(call[forward ? 0 : 1], call[forward ? 1 : 0], call.as<Pad2dParams>());
    const bool packs = packable(call[0].data, call[1].data) && frame.in_packs_of(kPackSize<T>);
    for_each_pack<kPackSize<T>>(call, call[1].size(), packs,
                                F<T>{call[0].as<T>(), call[1].as<T>(), frame});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &move<Pad, true>},
    {"backward", "cuda_simple", kFloats, &move<Crop, false>},
};

}  // namespace

extern const Table pad2d_cuda_table = {"pad2d", rows};

}  // namespace convkit::cuda
