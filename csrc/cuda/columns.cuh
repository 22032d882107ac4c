// Sums over the rows of an array [rows, C] for each channel. A block takes up to 32 neighbouring
// channels and a chunk of rows; a thread, one channel of every `lanes`-th row of it. Where there
// are several chunks, their sums go to the workspace, and a second kernel adds them up.
#pragma once

#include "core/checked.h"
#include "cuda/kernel.h"
#include "cuda/launch.cuh"

namespace convkit::cuda {

constexpr int kColumnThreads = 256;

struct Columns {
  static constexpr int64_t kRowsOfThread = 64, kMostChunks = 4096;

  int64_t rows, c, width, lanes;
  Chunks chunks;  // of rows

  Columns(int64_t count, int64_t channels)
      : rows(count),
        c(channels),
        width(c < 1    ? 1
              : c < 32 ? c
                       : 32),
        lanes(kColumnThreads / width),
        chunks{rows, lanes * kRowsOfThread} {
    if (chunks.count() > kMostChunks) chunks.size = ceil_div(rows, kMostChunks);
  }
  explicit Columns(const Tensor& x) : Columns(x.last() == 0 ? 0 : x.size() / x.last(), x.last()) {}

  int64_t count() const { return chunks.count() > 0 ? chunks.count() : 1; }
  dim3 grid() const {
    return dim3(static_cast<unsigned>(ceil_div(c, width)), static_cast<unsigned>(count()));
  }
};

// A thread's place in its block.
struct Column {
  int64_t lane, k;  // k: in the block
  int64_t channel;
  bool active;

  CK_DEVICE explicit Column(const Columns& columns)
      : lane(threadIdx.x / static_cast<unsigned>(columns.width)),
        k(threadIdx.x % static_cast<unsigned>(columns.width)),
        channel(blockIdx.x * columns.width + k),
        active(lane < columns.lanes && channel < columns.c) {}

  // One thread of each channel.
  CK_DEVICE bool leads() const { return active && lane == 0; }

  // f(i) with the place of the channel in each of the thread's rows of a chunk.
  template <class F>
  CK_DEVICE void each_row(const Columns& columns, int64_t chunk, const F& f) const {
    if (!active) return;
    const int64_t end = columns.chunks.end(chunk);
    for (int64_t r = columns.chunks.begin(chunk) + lane; r < end; r += columns.lanes)
      f(r * columns.c + channel);
  }

  // The sums over all lanes of a channel, for all of its threads; called by the whole block.
  template <int kSums>
  CK_DEVICE void sum_lanes(const Columns& columns, double (&sums)[kSums]) const {
    CK_SHARED(double, part, [kSums][kColumnThreads]);
    CK_UNROLL
    for (int s = 0; s < kSums; ++s) part[s][threadIdx.x] = active ? sums[s] : 0.0;
    __syncthreads();
    for (int64_t n = columns.lanes; n > 1;) {
      const int64_t half = (n + 1) / 2;
      if (lane + half < n) {
        CK_UNROLL
        for (int s = 0; s < kSums; ++s)
          part[s][threadIdx.x] += part[s][(lane + half) * columns.width + k];
      }
      __syncthreads();
      n = half;
    }
    CK_UNROLL
    for (int s = 0; s < kSums; ++s) sums[s] = part[s][k];
    __syncthreads();
  }
};

// What sum_columns is given: add(i, channel, sums) adds the value at i of a channel to its kSums
// sums, and finish(channel, sums) is for one thread to store what follows. Where kApplies,
// apply(columns, column, chunk, sums) is for all threads of a chunk: what the sums are wanted for.

template <class F>
struct SumColumns {
  static constexpr int kThreads = kColumnThreads;
  F f;
  Columns columns;
  double* partial;  // [chunks, kSums, c], where there are several chunks

  CK_DEVICE void operator()() const {
    const Column column(columns);
    double sums[F::kSums] = {};
    column.each_row(columns, blockIdx.y, [&](int64_t i) { f.add(i, column.channel, sums); });
    column.sum_lanes(columns, sums);
    if (gridDim.y > 1) {
      if (!column.leads()) return;
      CK_UNROLL
      for (int s = 0; s < F::kSums; ++s)
        partial[(blockIdx.y * F::kSums + s) * columns.c + column.channel] = sums[s];
      return;
    }
    if (column.leads()) f.finish(column.channel, sums);
    if constexpr (F::kApplies) f.apply(columns, column, 0, sums);
  }
};

// Adds up the chunks' sums.
template <class F>
struct JoinColumns {
  static constexpr int kThreads = kColumnThreads;
  F f;
  Columns columns;
  const double* partial;
  double* total;  // [kSums, c], where they are applied

  CK_DEVICE void operator()() const {
    const Column column(columns);
    double sums[F::kSums] = {};
    if (column.active) {
      for (int64_t chunk = column.lane; chunk < columns.chunks.count(); chunk += columns.lanes)
        CK_UNROLL
      for (int s = 0; s < F::kSums; ++s)
        sums[s] += partial[(chunk * F::kSums + s) * columns.c + column.channel];
    }
    column.sum_lanes(columns, sums);
    if (!column.leads()) return;
    f.finish(column.channel, sums);
    if constexpr (F::kApplies) {
      CK_UNROLL
      for (int s = 0; s < F::kSums; ++s) total[s * columns.c + column.channel] = sums[s];
    }
  }
};

template <class F>
struct ApplyColumns {
  static constexpr int kThreads = kColumnThreads;
  F f;
  Columns columns;
  const double* total;  // null: the sums are not wanted

  CK_DEVICE void operator()() const {
    const Column column(columns);
    if (!column.active) return;
    double sums[F::kSums] = {};
    if (total != nullptr) {
      CK_UNROLL
      for (int s = 0; s < F::kSums; ++s) sums[s] = total[s * columns.c + column.channel];
    }
    f.apply(columns, column, blockIdx.y, sums);
  }
};

// For `sums` sums of each channel.
inline int64_t sum_columns_bytes(const Columns& columns, int sums) {
  if (columns.count() == 1) return 0;
  const int64_t each = (columns.count() + 1) * sums * int64_t{sizeof(double)};
  return columns.c > kTooLarge / each ? kTooLarge : round_up(each * columns.c, 64);
}

// The workspace begins with sum_columns_bytes.
template <class F>
void sum_columns(const Call& call, const Columns& columns, const F& f) {
  double* const partial = reinterpret_cast<double*>(call.workspace);
  launch(call, columns.grid(), SumColumns<F>{f, columns, partial});
  if (columns.count() == 1) return;
  double* const total = partial + columns.count() * F::kSums * columns.c;
  launch(call, dim3(columns.grid().x), JoinColumns<F>{f, columns, partial, total});
  if constexpr (F::kApplies) launch(call, columns.grid(), ApplyColumns<F>{f, columns, total});
}

}  // namespace convkit::cuda
