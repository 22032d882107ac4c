// rbf on a GPU: sums over differences in tiles, as products of matrices are made, and Gaussians.
#include "core/libm.h"
#include "cuda/kernel.h"
#include "cuda/split_sums.cuh"
#include "cuda/tile_sums.cuh"
#include "ops/rbf/rbf.h"

namespace convkit::cuda {
namespace {

struct SquaredDifferences : Products {
  template <class T>
  CK_DEVICE T add(T sum, T x, T w, T) const {
    return sum + (x - w) * (x - w);
  }
};

template <class T>
struct Distance {
  static constexpr int kThreads = 256;
  Factor<T> x, w;
  int64_t C;
  T scale;
  T* d;
  CK_DEVICE void operator()() const {
    tile_sums<true, false>(x, w, int64_t{blockIdx.x} * kTileLines, int64_t{blockIdx.y} * kTileLines,
                           0, C, SquaredDifferences{}, [this](int64_t r, int64_t k, T sum) {
                             d[r * w.lines + k] = scale * sum;
                           });
  }
};

// dd (own - a), where own is of the shape of the result.
template <class T, bool kGradientLeft>
struct GradientTerms {
  const T* of;
  int64_t ld;
  template <class>
  CK_DEVICE T own(int64_t row, int64_t column) const {
    return of[row * ld + column];
  }
  CK_DEVICE T add(T sum, T a, T b, T own) const {
    return kGradientLeft ? sum + a * (own - b) : sum + b * (own - a);
  }
};

template <class T>
struct InputGradient {
  static constexpr int kThreads = 256;
  Factor<T> dd, w;
  int64_t K;
  T scale;
  GradientTerms<T, true> terms;
  T* dx;
  CK_DEVICE void operator()() const {
    tile_sums<true, true>(
        dd, w, int64_t{blockIdx.x} * kTileLines, int64_t{blockIdx.y} * kTileLines, 0, K, terms,
        [this](int64_t r, int64_t c, T sum) { dx[r * w.lines + c] = scale * sum; });
  }
};

// Part blockIdx.z of the sum over rows.
template <class T>
struct WeightGradient {
  static constexpr int kThreads = 256;
  Factor<T> x, dd;
  Splits splits;
  T scale;
  GradientTerms<T, false> terms;
  T* to;
  CK_DEVICE void operator()() const {
    const int64_t begin = blockIdx.z * splits.length, end = begin + splits.length;
    T* const part = to + blockIdx.z * x.lines * dd.lines;
    tile_sums<false, false>(
        x, dd, int64_t{blockIdx.x} * kTileLines, int64_t{blockIdx.y} * kTileLines, begin,
        end < splits.terms ? end : splits.terms, terms,
        [&](int64_t c, int64_t k, T sum) { part[c * dd.lines + k] = scale * sum; });
  }
};

template <class T>
struct Gaussian {
  const T *d, *s;
  T* y;
  int64_t K;
  CK_DEVICE void operator()(int64_t i) const {
    y[i] = libm::exp(-d[i] * (T(0.5) * libm::exp(T(-2) * s[i % K])));
  }
};

// 32 columns of a part of the rows: dd, and the part's sums for ds.
template <class T>
struct GaussianBackward {
  static constexpr int kThreads = 256;
  const T *dy, *y, *d, *s;
  T *dd, *to;  // to may be null
  int64_t K;
  Splits splits;
  CK_DEVICE void operator()() const {
    CK_SHARED(T, sums, [8][32]);
    const int lane = static_cast<int>(threadIdx.x) % 32, slice = static_cast<int>(threadIdx.x) / 32;
    const int64_t k = int64_t{blockIdx.x} * 32 + lane, begin = blockIdx.y * splits.length;
    const int64_t whole = begin + splits.length, end = whole < splits.terms ? whole : splits.terms;
    T sum = T(0);
    if (k < K) {
      const T precision = libm::exp(T(-2) * s[k]);
      for (int64_t r = begin + slice; r < end; r += 8) {
        const int64_t i = r * K + k;
        const T slope = dy[i] * y[i] * precision;
        dd[i] = T(-0.5) * slope;
        sum += slope * d[i];
      }
    }
    sums[slice][lane] = sum;
    __syncthreads();
    if (slice != 0 || k >= K || to == nullptr) return;
    for (int i = 1; i < 8; ++i) sum += sums[i][lane];
    to[blockIdx.y * K + k] = sum;
  }
};

// The sums of all parts, for add_parts.
template <class T>
struct Store {
  T* to;
  CK_DEVICE void operator()(int64_t i, T sum) const { to[i] = sum; }
};

void distance(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (R == 0) return;
    launch(call, dim3(tiles_of(R), tiles_of(K)),
           Distance<T>{{call[0].as<T>(), C, R},
                       {call[1].as<T>(), K, K},
                       C,
                       static_cast<T>(call.as<RbfParams>().scale),
                       call[2].as<T>()});
  });
}

void backward_input(const Call& call) {
  const int64_t R = call[1].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (R == 0) return;
    launch(call, dim3(tiles_of(R), tiles_of(C)),
           InputGradient<T>{{call[0].as<T>(), K, R},
                            {call[2].as<T>(), K, C},
                            K,
                            static_cast<T>(2 * call.as<RbfParams>().scale),
                            {call[1].as<T>(), C},
                            call[3].as<T>()});
  });
}

// Of sums over R rows with C x K results, or K: some 256 blocks, with no fewer than 128 rows each.
Splits weight_splits(int64_t R, int64_t C, int64_t K) {
  const int64_t tiles = checked_product(ceil_div(C, kTileLines), ceil_div(K, kTileLines));
  return Splits::of(R, ceil_div(256, tiles > 0 ? tiles : 1), 128, kTileTerms);
}
Splits width_splits(int64_t R, int64_t K) {
  return Splits::of(R, ceil_div(512, ceil_div(K > 0 ? K : 1, 32)), 64);
}

void backward_weight(const Call& call) {
  const int64_t R = call[1].rows(), C = call[2].shape[0], K = call[2].shape[1];
  const Splits splits = weight_splits(R, C, K);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const dw = call[3].as<T>();
    if (C == 0 || K == 0) return;
    launch(call, dim3(tiles_of(C), tiles_of(K), static_cast<unsigned>(splits.count)),
           WeightGradient<T>{{call[1].as<T>(), C, C},
                             {call[0].as<T>(), K, K},
                             splits,
                             static_cast<T>(2 * call.as<RbfParams>().scale),
                             {call[2].as<T>(), K},
                             splits.count > 1 ? reinterpret_cast<T*>(call.workspace) : dw});
    if (splits.count > 1) add_parts<T>(call, splits.count, C * K, Store<T>{dw});
  });
}

void gaussian(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for_each(call, call[0].size(),
             Gaussian<T>{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[0].last()});
  });
}

void gaussian_backward(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  const Splits splits = width_splits(R, K);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    T* const ds = call[5].as<T>();
    if (K == 0) return;
    const bool apart = ds != nullptr && splits.count > 1;
    launch(call, dim3(static_cast<unsigned>(ceil_div(K, 32)), static_cast<unsigned>(splits.count)),
           GaussianBackward<T>{call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<T>(),
                               call[4].as<T>(), apart ? reinterpret_cast<T*>(call.workspace) : ds,
                               K, splits});
    if (apart) add_parts<T>(call, splits.count, K, Store<T>{ds});
  });
}

int64_t bytes_of(const Tensor& tensor) { return kDtypeBytes[static_cast<int>(tensor.dtype)]; }
Workspace weight_workspace(const convkit::Call& call) {
  const int64_t R = call[1].rows(), C = call[2].shape[0], K = call[2].shape[1];
  return weight_splits(R, C, K).workspace_bytes(checked_product(C, K), bytes_of(call[2]));
}
Workspace width_workspace(const convkit::Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  return width_splits(R, K).workspace_bytes(K, bytes_of(call[0]));
}

constexpr Kernel rows[] = {
    {"distance", "cuda_simple", kFloats, &distance},
    {"backward_input", "cuda_simple", kFloats, &backward_input},
    {"backward_weight", "cuda_simple", kFloats, &backward_weight, nullptr, &weight_workspace},
    {"gaussian", "cuda_simple", kFloats, &gaussian},
    {"gaussian_backward", "cuda_simple", kFloats, &gaussian_backward, nullptr, &width_workspace},
};

}  // namespace

extern const Table rbf_cuda_table = {"rbf", rows};

}  // namespace convkit::cuda
