// What the kernels of loss share: which kind is what, the smoothing of targets, and the total.
#pragma once

#include "core/libm.h"
#include "ops/loss/loss.h"

namespace convkit::CK_ISA {

constexpr double kClip = 1e-7;  // also the least value under a logarithm or a division

CK_INLINE constexpr bool binary_entropy(Loss kind) {
  return kind == Loss::sigmoid_cross_entropy || kind == Loss::binary_cross_entropy ||
         kind == Loss::sigmoid_focal_cross_entropy || kind == Loss::binary_focal_cross_entropy;
}
CK_INLINE constexpr bool focal(Loss kind) {
  return kind == Loss::softmax_focal_cross_entropy || kind == Loss::focal_cross_entropy ||
         kind == Loss::sigmoid_focal_cross_entropy || kind == Loss::binary_focal_cross_entropy;
}

// t' = keep * t + spread.
template <class T>
struct Smoothing {
  T keep, spread;

  CK_INLINE Smoothing(Loss kind, double s, int64_t k) : keep(1), spread(0) {
    if (!over_classes(kind) && !binary_entropy(kind)) return;
    keep = static_cast<T>(1 - s);
    spread = static_cast<T>(binary_entropy(kind) ? s / 2 : s / static_cast<double>(k));
  }
};

// The weight of t in a binary focal loss: base + t * rise.
template <class T>
struct Balance {
  T base = 1, rise = 0;

  CK_INLINE explicit Balance(const LossParams& params) {
    if (!params.balanced) return;
    base = static_cast<T>(1 - params.alpha);
    rise = static_cast<T>(2 * params.alpha - 1);
  }
};

// Of the root mean squared error, from the total of the rows' squared errors: what their losses
// become, their total, and by what their gradients are multiplied.
template <class T>
struct Root {
  double root, total;
  T factor;

  CK_INLINE Root(double squares, int64_t rows)
      : root(libm::sqrt(squares / static_cast<double>(rows))),
        total(static_cast<double>(rows) * root),
        factor(root == 0 ? T(0) : static_cast<T>(0.5 / root)) {}
};

// Sums the rows' losses, one after the other, so that the order is fixed, and takes their root.
template <class T>
CK_INLINE void finish(const Call& call, bool gradient) {
  const int64_t rows = call[0].rows();
  T* loss = call[4].as<T>();
  double total = 0;
  for (int64_t r = 0; r < rows; ++r) total += static_cast<double>(loss[r]);
  if (static_cast<Loss>(call.as<LossParams>().kind) == Loss::root_mean_squared_error && rows > 0) {
    const Root<T> of(total, rows);
    total = of.total;
    for (int64_t r = 0; r < rows; ++r) loss[r] = static_cast<T>(of.root);
    if (gradient) {
      T* dp = call[6].as<T>();
      const Chunks chunks{call[6].size(), 65536};
      call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
        for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) dp[i] *= of.factor;
      });
    }
  }
  call[5].as<double>()[0] = total;
}

}  // namespace convkit::CK_ISA
