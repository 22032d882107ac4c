// transpose, element by element, and in square blocks.
//
// The blocked kernel first joins axes that stay neighbours and leaves out those of size 1. Then
// either the last axis stays the last, and runs of it are copied; or it does not, and the plane of
// x's and y's last axes is cut into blocks that are read along one and written along the other.
#include "gemm/panels.h"
#include "gemm/runs.h"
#include "ops/transpose/transpose_axes.h"

namespace convkit::CK_ISA {
namespace {

// Goes from one element to the next.
struct Walk {
  Axes axes;
  int64_t index[kMaxRank];
  Place at;

  CK_INLINE Walk(const Axes& a, int64_t i) : axes(a), index{}, at(place(a, i)) {
    for (int k = a.rank - 1; k >= 0; i /= a.size[k--]) index[k] = i % a.size[k];
  }
  CK_INLINE void next() {
    for (int k = axes.rank - 1; k >= 0; --k) {
      at.from += axes.from[k];
      at.to += axes.to[k];
      if (++index[k] < axes.size[k]) return;
      index[k] = 0;
      at.from -= axes.size[k] * axes.from[k];
      at.to -= axes.size[k] * axes.to[k];
    }
  }
};

CK_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

constexpr int64_t kChunk = 32768;  // values of a chunk, about
constexpr int64_t kTile = 64;      // a side of a tile: what stays in the cache

// to[r, c] = from[c, r] for height x width values, at most a vector by a vector; steps are those of
// the slower axes.
template <class T>
CK_INLINE void transpose_rest(const T* from, int64_t from_step, T* to, int64_t to_step,
                              int64_t height, int64_t width) {
  using V = Vec<T>;
  if constexpr (kVecBytes < 64) {  // there a part of a vector costs more than its values
    for (int64_t r = 0; r < height; ++r)
      for (int64_t c = 0; c < width; ++c) to[r * to_step + c] = from[c * from_step + r];
  } else {
    V block[V::kLanes];
#pragma GCC unroll 16
    for (int c = 0; c < V::kLanes; ++c) {
      block[c] = V::zero();
      if (c < width) block[c] = V::load_partial(from + c * from_step, static_cast<int>(height));
    }
    transpose_steps<1, T>(block);
#pragma GCC unroll 16
    for (int r = 0; r < V::kLanes; ++r) {
      if (r < height) block[r].store_partial(to + r * to_step, static_cast<int>(width));
    }
  }
}

// The planes of y's last axis, the columns here, and x's last axis, the rows.
template <class T>
void transpose_planes(ThreadPool* pool, Axes outer, const T* x, T* y) {
  constexpr int64_t kBlock = Vec<T>::kLanes;  // a side of a block: what stays in registers
  const int last = outer.rank - 1;
  int inner = last;
  while (outer.from[inner] != 1) --inner;
  const int64_t from_step = outer.from[last], to_step = outer.to[inner];
  const int64_t columns = remove_axis(outer, last), rows = remove_axis(outer, inner);
  // A task is a strip of kTile rows of one plane.
  const int64_t strips = ceil_div(rows, kTile);
  const Chunks chunks{axes_count(outer) * strips, kChunk / (smaller(rows, kTile) * columns) + 1};
  pool->parallel_for(chunks.count(), [=](int64_t chunk, int) {
    for (int64_t task = chunks.begin(chunk); task < chunks.end(chunk); ++task) {
      const Place plane = place(outer, task / strips);
      const int64_t first = task % strips * kTile, end = smaller(first + kTile, rows);
      for (int64_t tile = 0; tile < columns; tile += kTile) {
        const int64_t right = smaller(tile + kTile, columns);
        for (int64_t r = first; r < end; r += kBlock) {
          for (int64_t c = tile; c < right; c += kBlock) {
            const T* const from = x + plane.from + c * from_step + r;
            T* const to = y + plane.to + r * to_step + c;
            if (r + kBlock <= end && c + kBlock <= right) {
              transpose_block<T>(from, from_step, kBlock, kBlock, to, to_step);
            } else {
              transpose_rest(from, from_step, to, to_step, smaller(kBlock, end - r),
                             smaller(kBlock, right - c));
            }
          }
        }
      }
    }
  });
}

// Runs of y's last axis, which is x's too.
template <class T>
void transpose_runs(ThreadPool* pool, Axes outer, const T* x, T* y) {
  const int64_t run = remove_axis(outer, outer.rank - 1);
  const int64_t pieces = ceil_div(run, kChunk);  // of a run that is long
  const Chunks chunks{axes_count(outer) * pieces, kChunk / run + 1};
  pool->parallel_for(chunks.count(), [=](int64_t chunk, int) {
    if (pieces > 1) {  // of which a chunk holds one
      const Place at = place(outer, chunk / pieces);
      const int64_t begin = chunk % pieces * kChunk;
      return copy_run(x + at.from + begin, smaller(kChunk, run - begin), y + at.to + begin);
    }
    Walk walk(outer, chunks.begin(chunk));
    for (int64_t n = chunks.end(chunk) - chunks.begin(chunk); n > 0; --n, walk.next()) {
      copy_run(x + walk.at.from, run, y + walk.at.to);
    }
  });
}

}  // namespace

void transpose_naive(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Axes axes = axes_of(call[0], call[1], call.as<TransposeParams>());
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    for (int64_t i = 0; i < call[1].size(); ++i) y[i] = x[place(axes, i).from];
  });
}

void transpose_blocked(const Call& call) {
  if (call[1].size() == 0) return;
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Axes axes = joined(axes_of(call[0], call[1], call.as<TransposeParams>()));
    if (axes.from[axes.rank - 1] == 1) {
      transpose_runs(call.pool, axes, call[0].as<T>(), call[1].as<T>());
    } else {
      transpose_planes(call.pool, axes, call[0].as<T>(), call[1].as<T>());
    }
  });
}

}  // namespace convkit::CK_ISA
