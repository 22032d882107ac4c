// What the tiled kernels of rnn take steps with: chunks of sequences, and products whose tiles end
// with all gates of a few units. For kernel sources only (core/isa.h).
#pragma once

#include "gemm/product.h"
#include "gemm/runs.h"

namespace convkit::CK_ISA {

// Sequences that are taken through their steps together: a tile or two, in an even number of chunks
// so that two threads have the same work.
struct SequenceChunks {
  static constexpr int64_t kMost = 16;
  int64_t N;

  CK_INLINE int64_t count() const {
    const int64_t least = ceil_div(N, kMost);
    return least > 2 ? round_up(least, 2) : least > 0 ? least : 1;
  }
  CK_INLINE int64_t begin(int64_t chunk) const { return N * chunk / count(); }
};

template <class T, class Matrix>
void pack(ThreadPool* pool, const Matrix& panels, const T* matrix, int64_t ld, T* packed) {
  pool->parallel_for(
      panels.count(), [&](int64_t panel, int) { panels.pack(panel, matrix, ld, packed); },
      max_threads<T>(panels.rows, panels.count() * Matrix::kWidth, 1));
}

template <class T>
void pack_transposed(ThreadPool* pool, const Panels<T>& panels, const T* matrix, int64_t ld,
                     T* packed) {
  pool->parallel_for(
      panels.count(),
      [&](int64_t panel, int) {
        panels.pack_transposed(panel, 0, panels.rows, matrix, ld, packed);
      },
      max_threads<T>(panels.rows, panels.columns, 1));
}

// to = from, zeros if from is null.
template <class T>
CK_INLINE void copy_or_clear(const T* from, int64_t n, T* to) {
  if (from != nullptr) return copy_run(from, n, to);
  clear_run(to, n);
}

// The columns of a matrix [rows, kGates H], of which each gate has H, in panels: kUnits vectors of
// units with all their gates, gate by gate. The last panel is padded with zeros.
template <class T, int kGates, int kUnits>
struct GatePanels {
  static constexpr int kVectors = kGates * kUnits, kLanes = Vec<T>::kLanes;
  static constexpr int64_t kWidth = kVectors * kLanes;
  int64_t rows, H;

  CK_INLINE int64_t count() const { return ceil_div(H, kUnits * kLanes); }
  CK_INLINE int64_t offset(int64_t panel) const { return panel * rows * kWidth; }
  CK_INLINE int64_t unit(int64_t panel, int v) const {
    return (panel * kUnits + v % kUnits) * kLanes;
  }
  CK_INLINE int64_t column(int64_t panel, int v) const { return (v / kUnits) * H + unit(panel, v); }
  // How many lanes of a vector hold units.
  CK_INLINE int lanes(int64_t panel, int v) const {
    const int64_t left = H - unit(panel, v);
    return static_cast<int>(left < 0 ? 0 : left < kLanes ? left : kLanes);
  }

  CK_INLINE void pack(int64_t panel, const T* matrix, int64_t ld, T* packed) const {
    T* to = packed + offset(panel);
    for (int64_t i = 0; i < rows; ++i, matrix += ld, to += kWidth) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int n = lanes(panel, v);
        if (n > 0) Vec<T>::load_partial(matrix + column(panel, v), n).storeu(to + v * kLanes);
        if (n == 0) Vec<T>::zero().storeu(to + v * kLanes);
      }
    }
  }
};

// What the sums of one vector of a panel begin with: rows ld apart, of which `lanes` are there.
template <class T>
struct Start {
  const T* at;
  int64_t ld;
  int lanes;
};

// Terms of the sums: the product of rows `step` apart with a packed panel.
template <class T>
struct Terms {
  const T* a;
  int64_t step, depth;
  const T* packed;
};

// Vectors [0, NV) of a panel that is `wide`, for MR rows from row m on.
template <class T, int MR, int NV>
void step_tile(const Start<T>* starts, const Terms<T>* terms, int count, int64_t m, int64_t wide,
               T* sums, Fetch<T>& fetch) {
  using V = Vec<T>;
  constexpr int64_t some = Fetch<T>::kLine;
  Tile<T, MR, NV> tile;
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    const Start<T>& start = starts[v];
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
      const T* const from = start.at + r * start.ld;
      tile.acc[r][v] =
          start.lanes == V::kLanes ? V::loadu(from) : V::load_partial(from, start.lanes);
    }
  }
  for (int i = 0; i < count; ++i) {
    const int64_t step = terms[i].step;
    const auto row = [step](int r) { return r * step; };
    const T *a = terms[i].a + m * step, *packed = terms[i].packed;
    for (int64_t left = terms[i].depth; left > 0; left -= some) {
      fetch();
      tile.multiply(a, row, 1, packed, wide, left < some ? left : some);
      a += some, packed += some * wide;
    }
  }
  tile.store(0, sums, wide, V::kLanes);
}

template <class T, int kVectors>
constexpr int kStepRows =
    product_tile_rows<T>(kVectors < kTileVectors<T> ? kVectors : kTileVectors<T>);

// All vectors of a panel for `size` rows from row m on, to sums [size, kVectors].
template <class T, int kVectors>
void step_sums(const Start<T>* starts, const Terms<T>* terms, int count, int64_t m, int size,
               T* sums, Fetch<T>& fetch) {
  constexpr int lanes = Vec<T>::kLanes;
  constexpr int most = kVectors < kTileVectors<T> ? kVectors : kTileVectors<T>;
  with_int<kStepRows<T, kVectors>>(size, [&]<int MR>(Int<MR>) {
    Terms<T> here[2];
#pragma GCC unroll 4
    for (int v = 0; v + most <= kVectors; v += most) {
      for (int i = 0; i < count; ++i) here[i] = terms[i], here[i].packed += v * lanes;
      step_tile<T, MR, most>(starts + v, here, count, m, kVectors * lanes, sums + v * lanes, fetch);
    }
    if constexpr (kVectors % most > 0) {
      constexpr int v = kVectors / most * most;
      for (int i = 0; i < count; ++i) here[i] = terms[i], here[i].packed += v * lanes;
      step_tile<T, MR, kVectors % most>(starts + v, here, count, m, kVectors * lanes,
                                        sums + v * lanes, fetch);
    }
  });
}

// One step of `rows` rows. begin(panel, m, size, starts) says what the sums begin with, terms give
// their products, and finish(panel, m, row, sums) takes those of a row, `row` from row m on.
template <class T, int kGates, int kUnits, class Begin, class Finish>
CK_INLINE void take_step(const GatePanels<T, kGates, kUnits>& panels, int64_t rows,
                         const Terms<T>* terms, int count, Fetch<T> fetch, const Begin& begin,
                         const Finish& finish) {
  using P = GatePanels<T, kGates, kUnits>;
  alignas(kVecBytes) T sums[kStepRows<T, P::kVectors> * P::kWidth];
  for (int64_t panel = 0; panel < panels.count(); ++panel) {
    Terms<T> here[2];
    for (int i = 0; i < count; ++i) {
      here[i] = terms[i];
      here[i].packed += panel * terms[i].depth * P::kWidth;
    }
    for_each_tile(rows, kStepRows<T, P::kVectors>, [&](int64_t m, int size) {
      Start<T> starts[P::kVectors];
      begin(panel, m, size, starts);
      step_sums<T, P::kVectors>(starts, here, count, m, size, sums, fetch);
      for (int row = 0; row < size; ++row) finish(panel, m, row, sums + row * P::kWidth);
    });
  }
}

}  // namespace convkit::CK_ISA
