#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "gemm/table_row.h"
#include "ops/embedding/embedding_types.h"

namespace convkit::cuda {
namespace {

template <class T>
CK_DEVICE T not_a_number() {
  if constexpr (sizeof(T) == 4) {
    return __int_as_float(0x7FC00000);
  } else {
    return __longlong_as_double(0x7FF8000000000000);
  }
}

template <class I, class T>
struct LookUp {
  const I* index;
  const T* table;
  T* y;
  int64_t v, e;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const int64_t position = i / e, row = row_of(index[position], v);
    Pack<T, n> values;
    if (row >= 0) {
      values = load<n>(table + row * e + (i - position * e));
    } else {
      CK_UNROLL
      for (int k = 0; k < n; ++k) values.v[k] = not_a_number<T>();
    }
    store(y + i, values);
  }
};

void forward(const Call& call) {
  dispatch_embedding(call[0].dtype, call[1].dtype, [&](auto i, auto t) {
    using I = decltype(i);
    using T = decltype(t);
    const int64_t e = call[1].shape[1];
    const LookUp<I, T> look_up{call[0].as<I>(), call[1].as<T>(), call[2].as<T>(), call[1].shape[0],
                               e};
    for_each_pack<kPackSize<T>>(
        call, call[2].size(), e % kPackSize<T> == 0 && packable(look_up.table, look_up.y), look_up);
  });
}

// A block adds up kColumns columns of `range` rows of the table. It looks through all positions,
// kPositions at a time, lists those of its rows in their order, and adds. Each warp takes every
// eighth entry of a list, so that a row that occurs in most positions, as padding does, is added
// to by all of them; a lane has a column, and its sums are its own until the end.
template <class I, class T>
struct AddUp {
  static constexpr int kThreads = 256, kColumns = 32, kWarps = kThreads / 32;
  static constexpr int kPositions = 1024, kAtOnce = 8;
  // Rows of a block: the sums are 32 KB of shared memory.
  static constexpr int kMostRows = 32 * 1024 / (kThreads * static_cast<int>(sizeof(T)));
  const I* index;
  const T* dy;
  T* dtable;
  int64_t n, v, e;
  int range;

  struct Entry {
    int position;  // from the first one of the list
    int row;       // from the first one of the block
  };

  CK_DEVICE void operator()() const {
    CK_DYN_SHARED(T, sums);  // [range][kThreads]
    CK_SHARED(Entry, list, [kPositions]);
    CK_SHARED(int, of_warp, [kWarps]);
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    const int64_t ranges = (v + range - 1) / range;
    const int64_t first_row = blockIdx.x % ranges * range;
    const int64_t column = blockIdx.x / ranges * kColumns + lane;
    for (int r = 0; r < range; ++r) sums[r * kThreads + thread] = 0;
    for (int64_t base = 0; base < n; base += kPositions) {
      const int found = collect(base, first_row, list, of_warp);
      const T* const from = dy + base * e + column;
      if (column < e) add(list, found, from, sums + thread, warp);
      __syncthreads();  // before the list is written again
    }
    __syncthreads();
    for (int i = thread; i < range * kColumns; i += kThreads) {
      const int64_t row = first_row + i / kColumns, at = column - lane + i % kColumns;
      const T* const parts = sums + i / kColumns * kThreads + i % kColumns;
      T sum = parts[0];
      CK_UNROLL
      for (int w = 1; w < kWarps; ++w) sum += parts[w * 32];
      if (row < v && at < e) dtable[row * e + at] = sum;
    }
  }

  // Lists the positions from `base` on whose rows are the block's, in order; returns their number.
  CK_DEVICE int collect(int64_t base, int64_t first_row, Entry* list, int* of_warp) const {
    constexpr int kEach = kPositions / kThreads;  // neighbours
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    int rows[kEach], count = 0;
    CK_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const int64_t position = base + thread * kEach + k;
      const int64_t row = position < n ? row_of(index[position], v) - first_row : -1;
      rows[k] = row >= 0 && row < range ? static_cast<int>(row) : -1;
      count += rows[k] >= 0;
    }
    int before = count;  // and in earlier lanes
    CK_UNROLL
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(~0u, before, step);
      if (lane >= step) before += other;
    }
    if (lane == 31) of_warp[warp] = before;
    __syncthreads();
    int at = before - count, total = 0;
    CK_UNROLL
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) at += of_warp[w];
      total += of_warp[w];
    }
    CK_UNROLL
    for (int k = 0; k < kEach; ++k)
      if (rows[k] >= 0) list[at++] = {thread * kEach + k, rows[k]};
    __syncthreads();
    return total;
  }

  // kAtOnce values are on their way at a time.
  CK_DEVICE void add(const Entry* list, int count, const T* from, T* own, int warp) const {
    for (int i = warp; i < count; i += kWarps * kAtOnce) {
      T values[kAtOnce];
      CK_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        const int entry = i + k * kWarps;
        values[k] = entry < count ? from[list[entry].position * e] : T(0);
      }
      CK_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        const int entry = i + k * kWarps;
        if (entry < count) own[list[entry].row * kThreads] += values[k];
      }
    }
  }
};

void backward(const Call& call) {
  dispatch_embedding(call[0].dtype, call[1].dtype, [&](auto i, auto t) {
    using I = decltype(i);
    using T = decltype(t);
    using Kernel = AddUp<I, T>;
    const int64_t v = call[2].shape[0], e = call[2].shape[1];
    const int64_t tiles = ceil_div(e, Kernel::kColumns);
    // Few rows to a block while there are few blocks.
    constexpr int64_t kBlocks = CK_CUDA_EMULATED ? 8 : 256;
    const int64_t wanted = ceil_div(v * tiles, kBlocks);
    const int64_t range = wanted < Kernel::kMostRows ? wanted : Kernel::kMostRows;
    launch(call, dim3(static_cast<unsigned>(ceil_div(v, range) * tiles)),
           Kernel{call[0].as<I>(), call[1].as<T>(), call[2].as<T>(), call[0].size(), v, e,
                  static_cast<int>(range)},
           static_cast<std::size_t>(range) * Kernel::kThreads * sizeof(T));
  });
}

constexpr unsigned kIndices = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kIndices, &forward},
    {"backward", "cuda_simple", kIndices, &backward},
};

}  // namespace

extern const Table embedding_cuda_table = {"embedding", rows};

}  // namespace convkit::cuda
