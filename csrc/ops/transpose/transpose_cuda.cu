// transpose: after the axes that stay neighbours are joined, runs of an axis that stays the last
// are copied, and else planes of x's and y's last axes cross in tiles of shared memory, so that
// both are accessed along their rows. Of narrow planes, whose tiles would be mostly empty, each
// value is fetched by itself.
#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/transpose/transpose_axes.h"

namespace convkit::cuda {
namespace {

template <class T>
struct Fetch {
  const T* x;
  T* y;
  Axes axes;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    store(y + i, load<n>(x + place(axes, i).from));
  }
};

constexpr int kTile = 32;
constexpr int64_t kNarrow = 8;

template <class T>
struct Planes {
  static constexpr int kThreads = 256, kLines = kThreads / kTile;
  const T* x;
  T* y;
  Axes outer;
  int64_t rows, columns;       // of a plane of y
  int64_t from_step, to_step;  // from column to column in x, from row to row in y
  int64_t strips, tiles;       // of kTile rows, and of kTile columns

  CK_DEVICE void operator()() const {
    CK_SHARED(T, tile, [kTile][kTile + 1]);
    const int64_t strip = blockIdx.x / tiles;
    const Place plane = place(outer, strip / strips);
    const int64_t row = strip % strips * kTile, column = blockIdx.x % tiles * kTile;
    const int lane = static_cast<int>(threadIdx.x) % kTile;
    const int line = static_cast<int>(threadIdx.x) / kTile;
    CK_UNROLL
    for (int k = line; k < kTile; k += kLines)
      if (column + k < columns && row + lane < rows)
        tile[k][lane] = x[plane.from + (column + k) * from_step + row + lane];
    __syncthreads();
    CK_UNROLL
    for (int k = line; k < kTile; k += kLines)
      if (row + k < rows && column + lane < columns)
        y[plane.to + (row + k) * to_step + column + lane] = tile[lane][k];
  }
};

void transpose(const Call& call) {
  if (call[1].size() == 0) return;
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* const x = call[0].as<T>();
    T* const y = call[1].as<T>();
    const Axes axes = joined(axes_of(call[0], call[1], call.as<TransposeParams>()));
    const int last = axes.rank - 1;
    int inner = last;  // x's last axis
    while (axes.from[inner] != 1) --inner;
    if (inner == last || axes.size[last] < kNarrow || axes.size[inner] < kNarrow) {
      const bool packs = inner == last && axes.size[last] % kPackSize<T> == 0 && packable(x, y);
      for_each_pack<kPackSize<T>>(call, call[1].size(), packs, Fetch<T>{x, y, axes});
      return;
    }
    Planes<T> planes{x, y, axes, 0, 0, axes.from[last], axes.to[inner], 0, 0};
    planes.columns = remove_axis(planes.outer, last);
    planes.rows = remove_axis(planes.outer, inner);
    planes.strips = ceil_div(planes.rows, kTile);
    planes.tiles = ceil_div(planes.columns, kTile);
    const int64_t blocks = axes_count(planes.outer) * planes.strips * planes.tiles;
    launch(call, dim3(static_cast<unsigned>(blocks)), planes);
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &transpose},
};

}  // namespace

extern const Table transpose_cuda_table = {"transpose", rows};

}  // namespace convkit::cuda
