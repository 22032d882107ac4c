// Sums over differences in register tiles: some rows of the result by up to two vectors of it.
#include "core/checked.h"
#include "gemm/panels.h"
#include "gemm/tile.h"
#include "ops/rbf/rbf.h"

namespace convkit::CK_ISA {
namespace {

// Rows of a tile. A gradient's tile holds the operand of its own shape beside the sums, so it has
// room for fewer.
constexpr int kDistanceRows = CK_ISA_LEVEL == 2 ? 8 : 4;
constexpr int kWeightRows = CK_ISA_LEVEL == 2 ? 6 : 3;
constexpr int kInputRows = 2;
constexpr int kVectors = 2;

// The columns of a matrix [rows, n], kVectors vectors at a time.
template <class T>
struct Columns {
  static constexpr int64_t kLanes = Vec<T>::kLanes;
  int64_t rows, n;

  CK_INLINE int64_t count() const { return ceil_div(n, kVectors * kLanes); }
  CK_INLINE int64_t first(int64_t panel) const { return panel * kVectors * kLanes; }
  CK_INLINE int vectors(int64_t panel) const { return n - first(panel) > kLanes ? kVectors : 1; }
  // How many lanes of the panel's last vector hold columns.
  CK_INLINE int last_lanes(int64_t panel) const {
    const int64_t left = n - first(panel) - (vectors(panel) - 1) * kLanes;
    return static_cast<int>(left < kLanes ? left : kLanes);
  }
  // In how many rows whole vectors can be read, as memory goes on with the next row.
  CK_INLINE int64_t safe_rows(int64_t panel) const {
    if (last_lanes(panel) == kLanes) return rows;
    const int64_t room = rows * n - first(panel) - vectors(panel) * kLanes;
    return room < 0 ? 0 : room / n + 1;
  }
};

// NV vectors from memory, of the last of which `last` lanes exist.
template <class T, int NV>
CK_INLINE void load_vectors(const T* from, int last, Vec<T>* to) {
  constexpr int lanes = Vec<T>::kLanes;
  for (int v = 0; v < NV; ++v) {
    const bool whole = v < NV - 1 || last == lanes;
    to[v] = whole ? Vec<T>::loadu(from + v * lanes) : Vec<T>::load_partial(from + v * lanes, last);
  }
}

template <class T, int MR, int NV>
CK_INLINE void store_scaled(const Tile<T, MR, NV>& tile, T scale, T* to, int64_t ld, int last) {
  Tile<T, MR, NV> scaled;
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
    for (int v = 0; v < NV; ++v) scaled.acc[m][v] = scale * tile.acc[m][v];
  }
  scaled.store(0, to, ld, last);
}

// Calls add(i, whole) for the terms of a sum, whole vectors first, then add(i, partial).
template <class Add>
CK_INLINE void each_term(int64_t safe, int64_t n, int lanes, int last, const Add& add) {
  for (int64_t i = 0; i < safe; ++i) add(i, lanes);
  for (int64_t i = safe; i < n; ++i) add(i, last);
}

// d for MR rows of x and the columns of one panel of w [C,K].
template <class T, int MR, int NV>
void distance_tile(const T* x, const T* w, int64_t C, int64_t K, int64_t safe, int last, T scale,
                   T* d) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile;
  tile.clear();
  each_term(safe, C, V::kLanes, last, [&](int64_t c, int lanes) {
    V wv[NV];
    load_vectors<T, NV>(w + c * K, lanes, wv);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const V xv = V::broadcast(x[m * C + c]);
      for (int v = 0; v < NV; ++v) {
        const V difference = xv - wv[v];
        tile.acc[m][v] = fma(difference, difference, tile.acc[m][v]);
      }
    }
  });
  store_scaled(tile, scale, d, K, last);
}

// dw for MR rows of w and the columns of one panel: sums over the R rows of dd [R,K] and x [R,C].
template <class T, int MR, int NV>
void weight_tile(const T* dd, const T* x, const T* w, int64_t R, int64_t C, int64_t K, int64_t safe,
                 int last, T scale, T* dw) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile, own;
  tile.clear();
  own.load(0, w, K, last);
  each_term(safe, R, V::kLanes, last, [&](int64_t r, int lanes) {
    V dv[NV];
    load_vectors<T, NV>(dd + r * K, lanes, dv);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const V xv = V::broadcast(x[r * C + m]);
      for (int v = 0; v < NV; ++v) {
        tile.acc[m][v] = fma(dv[v], own.acc[m][v] - xv, tile.acc[m][v]);
      }
    }
  });
  store_scaled(tile, scale, dw, K, last);
}

// dx for MR rows and one panel of the transpose of w, whose rows are `wide` apart.
template <class T, int MR, int NV>
void input_tile(const T* dd, const T* x, const T* packed, int64_t wide, int64_t C, int64_t K,
                int last, T scale, T* dx) {
  using V = Vec<T>;
  Tile<T, MR, NV> tile, own;
  tile.clear();
  own.load(0, x, C, last);
  for (int64_t k = 0; k < K; ++k) {
    V wv[NV];
    load_vectors<T, NV>(packed + k * wide, V::kLanes, wv);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const V dv = V::broadcast(dd[m * K + k]);
      for (int v = 0; v < NV; ++v) {
        tile.acc[m][v] = fma(dv, own.acc[m][v] - wv[v], tile.acc[m][v]);
      }
    }
  }
  store_scaled(tile, scale, dx, C, last);
}

// Rows in blocks of some 10^5 differences, in whole tiles.
CK_INLINE Chunks row_blocks(int64_t rows, int64_t terms, int64_t width, int64_t tile) {
  const int64_t size = 75000 / checked_product(terms + 1, width) + 1;
  return {rows, round_up(size, tile)};
}

// For each of several loops; see gemm/product.h.
CK_INLINE int max_threads(int64_t R, int64_t C, int64_t K) {
  const double flops = 3 * static_cast<double>(checked_product(R, C, K));
  return ThreadPool::worth_threads(flops / kThreadFlops, ThreadPool::kMaxThreads);
}

}  // namespace

void rbf_tiled_distance(const Call& call) {
  const int64_t R = call[0].rows(), C = call[1].shape[0], K = call[1].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T scale = T(call.as<RbfParams>().scale);
    const T* const x = call[0].as<T>();
    const T* const w = call[1].as<T>();
    T* const d = call[2].as<T>();
    const Columns<T> columns{C, K};
    const Chunks rows = row_blocks(R, C, kVectors * Vec<T>::kLanes, kDistanceRows);
    const auto block = [&](int64_t index, int) {
      const int64_t panel = index % columns.count(), chunk = index / columns.count();
      const int64_t begin = rows.begin(chunk), j = columns.first(panel);
      const int64_t safe = columns.safe_rows(panel);
      with_int<kVectors>(columns.vectors(panel), [&]<int NV>(Int<NV>) {
        for_each_tile(rows.end(chunk) - begin, kDistanceRows, [&](int64_t m, int size) {
          with_int<kDistanceRows>(size, [&]<int MR>(Int<MR>) {
            distance_tile<T, MR, NV>(x + (begin + m) * C, w + j, C, K, safe,
                                     columns.last_lanes(panel), scale, d + (begin + m) * K + j);
          });
        });
      });
    };
    call.pool->parallel_for(rows.count() * columns.count(), block, max_threads(R, C, K));
  });
}

void rbf_tiled_backward_weight(const Call& call) {
  const int64_t R = call[1].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T scale = T(2 * call.as<RbfParams>().scale);
    const T* const dd = call[0].as<T>();
    const T* const x = call[1].as<T>();
    const T* const w = call[2].as<T>();
    T* const dw = call[3].as<T>();
    const Columns<T> columns{R, K};
    const Chunks rows = row_blocks(C, R, kVectors * Vec<T>::kLanes, kWeightRows);
    const auto block = [&](int64_t index, int) {
      const int64_t panel = index % columns.count(), chunk = index / columns.count();
      const int64_t begin = rows.begin(chunk), j = columns.first(panel);
      const int64_t safe = columns.safe_rows(panel);
      with_int<kVectors>(columns.vectors(panel), [&]<int NV>(Int<NV>) {
        for_each_tile(rows.end(chunk) - begin, kWeightRows, [&](int64_t m, int size) {
          with_int<kWeightRows>(size, [&]<int MR>(Int<MR>) {
            const int64_t at = (begin + m) * K + j;
            weight_tile<T, MR, NV>(dd + j, x + begin + m, w + at, R, C, K, safe,
                                   columns.last_lanes(panel), scale, dw + at);
          });
        });
      });
    };
    call.pool->parallel_for(rows.count() * columns.count(), block, max_threads(R, C, K));
  });
}

void rbf_tiled_backward_input(const Call& call) {
  const int64_t R = call[1].rows(), C = call[2].shape[0], K = call[2].shape[1];
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T scale = T(2 * call.as<RbfParams>().scale);
    const T* const dd = call[0].as<T>();
    const T* const x = call[1].as<T>();
    T* const dx = call[3].as<T>();
    T* const packed = reinterpret_cast<T*>(call.workspace);
    const Panels<T> panels{K, C};
    const int threads = max_threads(R, C, K);
    call.pool->parallel_for(
        panels.count(),
        [&](int64_t panel, int) { panels.pack_transposed(panel, 0, K, call[2].as<T>(), packed); },
        threads);
    const Chunks rows = row_blocks(R, K, Panels<T>::kWidth, kInputRows);
    const auto block = [&](int64_t index, int) {
      const int64_t panel = index % panels.count(), chunk = index / panels.count();
      const int64_t begin = rows.begin(chunk), j = panels.first(panel);
      with_int<kTileVectors<T>>(panels.vectors(panel), [&]<int NV>(Int<NV>) {
        for_each_tile(rows.end(chunk) - begin, kInputRows, [&](int64_t m, int size) {
          with_int<kInputRows>(size, [&]<int MR>(Int<MR>) {
            const int64_t r = begin + m;
            input_tile<T, MR, NV>(dd + r * K, x + r * C + j, packed + panels.offset(panel),
                                  panels.width(panel), C, K, panels.last_lanes(panel), scale,
                                  dx + r * C + j);
          });
        });
      });
    };
    call.pool->parallel_for(rows.count() * panels.count(), block, threads);
  });
}

}  // namespace convkit::CK_ISA
