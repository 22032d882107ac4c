// The products before and behind the steps of the CUDA kernels of rnn: x w of all steps, dx, and
// the sums over all steps that are the gradients of the weights.
#pragma once

#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "cuda/tile_sums.cuh"
#include "ops/rnn/rnn_cuda_plan.h"

namespace convkit::cuda::rnn {

// Of the sums with x w: b0 and, in the first `both` columns, b1.
template <class T>
struct InputBias {
  const T *b0, *b1;
  int64_t both;

  template <Cell kCell>
  explicit InputBias(const Forward<T, kCell>& p)
      : b0(p.b0), b1(p.b1), both(kCell == Cell::gru ? 2 * p.H : gates(kCell) * p.H) {}
  CK_DEVICE T at(int64_t column) const {
    const T first = b0 != nullptr ? b0[column] : T(0);
    return b1 != nullptr && column < both ? first + b1[column] : first;
  }
};

// x w + b of all steps.
template <class T>
struct InputSums {
  static constexpr int kThreads = 256;
  Factor<T> x, w;
  int64_t C;
  InputBias<T> bias;
  T* to;
  int64_t ld;
  CK_DEVICE void operator()() const {
    tile_sums<true, false>(x, w, int64_t{blockIdx.x} * kTileLines, int64_t{blockIdx.y} * kTileLines,
                           0, C, Products{}, [this](int64_t row, int64_t column, T sum) {
                             to[row * ld + column] = sum + bias.at(column);
                           });
  }
};

// w + b, and a row of NaN.
template <class T>
struct InputTable {
  const T* w;
  int64_t C, GH;
  InputBias<T> bias;
  T* to;
  CK_DEVICE void operator()(int64_t i) const {
    to[i] = i < C * GH ? w[i] + bias.at(i % GH) : T(NAN);
  }
};

// Where x w + b of a step is.
template <class T>
struct StepSums {
  const T* rows;
  int64_t ld;
  const T* x;  // numbers of rows, or null
  int64_t C;
  CK_DEVICE const T* at(int64_t step) const {
    if (x == nullptr) return rows + step * ld;
    const int64_t row = row_of(x[step], C);
    return rows + (row >= 0 ? row : C) * ld;
  }
};

template <class T, Cell kCell>
StepSums<T> launch_input_sums(const Call& call, const Forward<T, kCell>& p,
                              const ForwardPlan& plan) {
  T* const work = reinterpret_cast<T*>(call.workspace);
  const int64_t GH = gates(kCell) * p.H, NT = p.N * p.steps;
  const InputBias<T> bias(p);
  if (p.numbers) {
    T* const table = work + plan.table;
    for_each(call, (p.C + 1) * GH, InputTable<T>{p.w, p.C, GH, bias, table});
    return {table, GH, p.x, p.C};
  }
  T* const sums = kCell == Cell::simple ? work + plan.sums : p.saved;
  const int64_t ld = saved_blocks(kCell, p.reset_after) * p.H;
  if (NT > 0) {
    launch(call, dim3(tiles_of(NT), tiles_of(GH)),
           InputSums<T>{{p.x, p.C, NT}, {p.w, GH, GH}, p.C, bias, sums, ld});
  }
  return {sums, ld, nullptr, p.C};
}

// ---- backward

// dx = da w^T.
template <class T>
struct InputGradient {
  static constexpr int kThreads = 256;
  Factor<T> da, w;
  int64_t GH;
  T* dx;
  CK_DEVICE void operator()() const {
    tile_sums<true, true>(da, w, int64_t{blockIdx.x} * kTileLines, int64_t{blockIdx.y} * kTileLines,
                          0, GH, Products{}, [this](int64_t row, int64_t column, T sum) {
                            dx[row * w.lines + column] = sum;
                          });
  }
};

// Columns of the gradient of a matrix, left^T da over all steps, and of its bias, for which left
// has a line of ones.
template <class T>
struct WeightSums {
  Factor<T> left, da;
  T *dw, *db;  // of which either may be null; the rows of dw are GH apart
  T* db1;      // the same once more, for the first `both` columns
  int64_t both;
  int64_t offset;  // among the partial sums
  int64_t tile;    // its first one

  CK_DEVICE void put(int64_t row, int64_t column, T sum, int64_t GH) const {
    if (row < left.lines) {
      if (dw != nullptr) dw[row * GH + column] = sum;
      return;
    }
    if (db != nullptr) db[column] = sum;
    if (db1 != nullptr && column < both) db1[column] = sum;
  }
};

constexpr int kMostWeightSums = 3;

template <class T>
struct WeightGradients {
  static constexpr int kThreads = 256;
  WeightSums<T> sums[kMostWeightSums];
  int count;
  int64_t terms, split, GH;  // terms of a split
  T* parts;                  // null: one split only
  int64_t size;              // of its sums
  CK_DEVICE void operator()() const {
    int which = 0;
    while (which + 1 < count && blockIdx.x >= sums[which + 1].tile) ++which;
    const WeightSums<T>& one = sums[which];
    const int64_t tile = blockIdx.x - one.tile;
    const int64_t down = (one.left.count() + kTileLines - 1) / kTileLines;
    const int64_t begin = blockIdx.y * split, end = begin + split < terms ? begin + split : terms;
    tile_sums<false, false>(one.left, one.da, tile % down * kTileLines, tile / down * kTileLines,
                            begin, end, Products{}, [&](int64_t row, int64_t column, T sum) {
                              if (parts == nullptr) return one.put(row, column, sum, GH);
                              parts[blockIdx.y * size + one.offset + row * one.da.lines + column] =
                                  sum;
                            });
  }
};

// The splits' sums, in their order.
template <class T>
struct AddSplits {
  WeightGradients<T> of;
  int64_t splits;
  CK_DEVICE void operator()(int64_t i) const {
    T sum = T(0);
    for (int64_t k = 0; k < splits; ++k) sum += of.parts[k * of.size + i];
    int which = 0;
    while (which + 1 < of.count && i >= of.sums[which + 1].offset) ++which;
    const WeightSums<T>& one = of.sums[which];
    i -= one.offset;
    one.put(i / one.da.lines, i % one.da.lines, sum, of.GH);
  }
};

// dw where x holds numbers: for each row the sum of da of its steps, in their order. A block has
// one row and 256 columns.
template <class T>
struct NumberSums {
  static constexpr int kThreads = 256;
  const T *x, *da;
  int64_t NT, C, GH, width;
  T* dw;
  CK_DEVICE void operator()() const {
    CK_SHARED(int, found, [kThreads]);
    CK_SHARED(int, counts, [kThreads / 32]);
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
    const int64_t row = blockIdx.x, column = int64_t{blockIdx.y} * kThreads + thread;
    T sum = T(0);
    for (int64_t begin = 0; begin < NT; begin += kThreads) {
      const int64_t step = begin + thread;
      const bool match = step < NT && row_of(x[step], C) == row;
      const unsigned votes = __ballot_sync(~0u, match);
      if (lane == 0) counts[warp] = __popc(votes);
      __syncthreads();
      int place = __popc(votes & ((1u << lane) - 1)), total = 0;
      for (int w = 0; w < kThreads / 32; ++w) {
        if (w < warp) place += counts[w];
        total += counts[w];
      }
      if (match) found[place] = thread;
      __syncthreads();
      if (column < GH) {
        for (int i = 0; i < total; ++i) sum += da[(begin + found[i]) * width + column];
      }
      __syncthreads();
    }
    if (column < GH) dw[row * GH + column] = sum;
  }
};

// dx, dw, du and db of the gradients of all steps' sums.
template <class T, Cell kCell>
void launch_input_gradients(const Call& call, const Backward<T, kCell>& p,
                            const BackwardPlan& plan) {
  T* const work = reinterpret_cast<T*>(call.workspace);
  const int64_t H = p.H, C = p.C, GH = gates(kCell) * H, NT = p.N * p.steps;
  const T *const da = work + plan.da, *const before = work + plan.before;
  if (p.dx != nullptr && NT > 0 && C > 0) {
    launch(call, dim3(tiles_of(NT), tiles_of(C)),
           InputGradient<T>{{da, plan.width, NT}, {p.w, GH, C}, GH, p.dx});
  }
  if (p.dw != nullptr && p.numbers && C > 0) {
    launch(call, dim3(static_cast<unsigned>(C), static_cast<unsigned>(ceil_div(GH, 256))),
           NumberSums<T>{p.x, da, NT, C, GH, plan.width, p.dw});
  }
  WeightGradients<T> all = {};
  all.terms = NT, all.GH = GH;
  int64_t tiles = 0;
  const auto add = [&](Factor<T> left, int64_t from, int64_t columns, T* dw, T* db, T* db1,
                       int64_t both) {
    if (dw == nullptr) left.lines = 0;
    left.ones = db != nullptr;
    if (left.lines == 0 && !left.ones) return;
    WeightSums<T>& one = all.sums[all.count++];
    one = {left, {da + from, plan.width, columns}, dw, db, db1, both, all.size, tiles};
    all.size += one.left.count() * columns;
    tiles += int64_t{tiles_of(one.left.count())} * tiles_of(columns);
  };
  const auto part = [H](T* matrix, int64_t gate) { return matrix ? matrix + gate * H : nullptr; };
  T* const db1 = p.two_biases && p.db != nullptr ? p.db + GH : nullptr;
  const bool after = kCell == Cell::gru && p.reset_after;
  const int64_t both = kCell == Cell::gru ? 2 * H : GH;  // columns whose biases are added
  T* const none = nullptr;
  add({p.x, C, C}, 0, GH, p.numbers ? none : p.dw, p.db, db1, both);
  add({before, H, H}, 0, both, p.du, none, none, 0);
  if (after) add({before, H, H}, 3 * H, H, part(p.du, 2), part(db1, 2), none, 0);
  if (kCell == Cell::gru && !after)
    add({work + plan.rh, H, H}, 2 * H, H, part(p.du, 2), none, none, 0);
  if (all.count == 0) return;
  all.split = plan.splits.length;
  all.parts = plan.splits.count > 1 ? work + plan.parts : nullptr;
  launch(call, dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(plan.splits.count)), all);
  if (all.parts != nullptr) for_each(call, all.size, AddSplits<T>{all, plan.splits.count});
}

}  // namespace convkit::cuda::rnn
