#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"
#include "ops/channel_scale/channel_scale.h"

namespace convkit::cuda {
namespace {

// y = x w + b, without w or b where they are null.
template <class T>
struct Scale {
  const T *x, *w, *b;
  T* y;
  int64_t c;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const int64_t k = i % c;
    Pack<T, n> values = load<n>(x + i);
    if (w) {
      const Pack<T, n> factors = load<n>(w + k);
      CK_UNROLL
      for (int j = 0; j < n; ++j) values.v[j] *= factors.v[j];
    }
    if (b) {
      const Pack<T, n> offsets = load<n>(b + k);
      CK_UNROLL
      for (int j = 0; j < n; ++j) values.v[j] += offsets.v[j];
    }
    store(y + i, values);
  }
};

template <class T>
void scale(const Call& call, const Scale<T>& f) {
  const bool packs = f.c % kPackSize<T> == 0 && packable(f.x, f.w, f.b, f.y);
  for_each_pack<kPackSize<T>>(call, call[0].size(), packs, f);
}

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    scale<T>(call,
             {call[0].as<T>(), call[1].as<T>(), call[2].as<T>(), call[3].as<T>(), call[0].last()});
  });
}

void backward_input(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    scale<T>(call, {call[0].as<T>(), call[1].as<T>(), nullptr, call[2].as<T>(), call[0].last()});
  });
}

// ---- backward_weight: sums of columns, of chunks of rows first, and then of the chunks

struct Plan {
  int64_t rows, c;
  int width = 1;  // columns of a block, a power of two; its threads have 256 / width rows at a time
  int64_t tiles, chunks, chunk;  // blocks beside and below each other, and rows of one

  explicit Plan(const Tensor& dy) : rows(dy.rows()), c(dy.last()) {
    while (width < 32 && width < c) width *= 2;
    tiles = ceil_div(c, width);
    constexpr int64_t kBlocks = 512, kLeast = 16;  // rows that a thread has at least
    const int64_t most = ceil_div(kBlocks, tiles > 0 ? tiles : 1);
    const int64_t worth = ceil_div(rows * width, 256 * kLeast);
    chunks = worth < 1 ? 1 : worth < most ? worth : most;
    chunk = ceil_div(rows, chunks);
  }
};

template <class T>
struct Sums {
  static constexpr int kThreads = 256;
  const T *dy, *x;  // x is null without dw
  T *dw, *db;       // [chunks][c], each or null
  Plan plan;

  CK_DEVICE void operator()() const {
    CK_SHARED(T, of_w, [kThreads]);
    CK_SHARED(T, of_b, [kThreads]);
    const int thread = static_cast<int>(threadIdx.x), width = plan.width;
    const int64_t chunk = blockIdx.x / plan.tiles;
    const int64_t column = blockIdx.x % plan.tiles * width + thread % width;
    const int64_t begin = chunk * plan.chunk;
    const int64_t end = begin + plan.chunk < plan.rows ? begin + plan.chunk : plan.rows;
    T sum_w = 0, sum_b = 0;
    if (column < plan.c) {
      for (int64_t r = begin + thread / width; r < end; r += kThreads / width) {
        const T g = dy[r * plan.c + column];
        sum_b += g;
        if (dw) sum_w += g * x[r * plan.c + column];
      }
    }
    of_w[thread] = sum_w;
    of_b[thread] = sum_b;
    __syncthreads();
    for (int half = kThreads / 2; half >= width; half /= 2) {
      if (thread < half) {
        of_w[thread] += of_w[thread + half];
        of_b[thread] += of_b[thread + half];
      }
      __syncthreads();
    }
    if (thread < width && column < plan.c) {
      if (dw) dw[chunk * plan.c + column] = of_w[thread];
      if (db) db[chunk * plan.c + column] = of_b[thread];
    }
  }
};

// A warp adds up a column of one of two arrays.
template <class T>
struct Totals {
  static constexpr int kThreads = 256;
  const T* sums[2];
  T* total[2];  // each or null
  int64_t chunks, c;

  CK_DEVICE void operator()() const {
    const int64_t warp = int64_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32;
    const int array = warp >= c;
    const int64_t column = warp - array * c;
    const bool wanted = column < c && total[array];
    T sum = 0;
    if (wanted)
      for (int64_t i = threadIdx.x % 32; i < chunks; i += 32) sum += sums[array][i * c + column];
    sum = warp_sum(sum);
    if (wanted && threadIdx.x % 32 == 0) total[array][column] = sum;
  }
};

Workspace sums_of_chunks(const convkit::Call& call) {
  const Plan plan(call[0]);
  const int64_t bytes = call[0].dtype == Dtype::float64 ? 8 : 4;
  return plan.chunks > 1 ? 2 * plan.chunks * plan.c * bytes : 0;
}

void backward_weight(const Call& call) {
  const Plan plan(call[0]);
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    T *const dw = call[2].as<T>(), *const db = call[3].as<T>();
    Sums<T> sums{call[0].as<T>(), call[1].as<T>(), dw, db, plan};
    const dim3 grid(static_cast<unsigned>(plan.chunks * plan.tiles));
    if (plan.chunks == 1) return launch(call, grid, sums);
    T* const work = reinterpret_cast<T*>(call.workspace);
    sums.dw = dw ? work : nullptr;
    sums.db = db ? work + plan.chunks * plan.c : nullptr;
    launch(call, grid, sums);
    launch(call, dim3(static_cast<unsigned>(ceil_div(2 * plan.c, 8))),
           Totals<T>{{sums.dw, sums.db}, {dw, db}, plan.chunks, plan.c});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward_input", "cuda_simple", kFloats, &backward_input},
    {"backward_weight", "cuda_simple", kFloats, &backward_weight, nullptr, &sums_of_chunks},
};

}  // namespace

extern const Table channel_scale_cuda_table = {"channel_scale", rows};

}  // namespace convkit::cuda
