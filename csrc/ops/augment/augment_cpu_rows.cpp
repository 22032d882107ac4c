// augment with a table of columns for each image and a row at a time, threaded over images.
#include "gemm/runs.h"
#include "ops/augment/augment_map.h"
#include "simd/each_vector.h"

namespace convkit::CK_ISA {
namespace {

// A column of y: offsets in a row of x, in values, and their weights.
template <class T>
struct Column {
  int64_t first, second;
  T low, high;
};

static_assert(sizeof(Column<double>) <= kAugmentColumnBytes);

// A run of columns side by side is copied at once.
template <class T>
CK_INLINE void copy_columns(const T* row, const Column<T>* columns, int64_t Q, int64_t C, T* y) {
  for (int64_t q = 0; q < Q;) {
    const int64_t first = columns[q].first;
    int64_t n = 1;
    while (q + n < Q && columns[q + n].first == first + n * C) ++n;
    T* const to = y + q * C;
    if (n * C >= Vec<T>::kLanes) {
      copy_run(row + first, n * C, to);
    } else {
      for (int64_t j = 0; j < n * C; ++j) to[j] = row[first + j];
    }
    q += n;
  }
}

template <class T>
CK_INLINE void blend_columns(const T* row, const Column<T>* columns, int64_t Q, int64_t C, T* y) {
  for (int64_t q = 0; q < Q; ++q, y += C) {
    const Column<T> column = columns[q];
    const T *const a = row + column.first, *const b = row + column.second;
    if (column.high == 0) {
      for (int64_t c = 0; c < C; ++c) y[c] = a[c];
    } else {
      for (int64_t c = 0; c < C; ++c) y[c] = column.low * a[c] + column.high * b[c];
    }
  }
}

// to = low a + high b; null stands for a row of the fill value.
template <class T>
CK_INLINE void blend_rows(const T* a, const T* b, T low, T high, T fill, int64_t n, T* to) {
  using V = Vec<T>;
  each_vector<T>(n, [&](auto at) {
    const V first = a ? at.load(a) : V(fill), second = b ? at.load(b) : V(fill);
    at.store(to, V(low) * first + V(high) * second);
  });
}

template <class T>
CK_INLINE void keep_axes(const Call& call, int64_t n, const AugmentMap& map) {
  using V = Vec<T>;
  const AugmentParams& params = call.as<AugmentParams>();
  const Tensor &x = call[0], &y = call[1];
  const int64_t H = x.shape[1], W = x.shape[2], C = x.shape[3], P = y.shape[1], Q = y.shape[2];
  const T fill = static_cast<T>(params.fill_value);
  std::byte* const memory = call.workspace + n * augment_image_bytes(x, y);
  Column<T>* const columns = reinterpret_cast<Column<T>*>(memory);
  T* const row = reinterpret_cast<T*>(memory + round_up(Q * kAugmentColumnBytes, 64));
  bool whole = true, inside = true;
  for (int64_t q = 0; q < Q; ++q) {
    const AugmentTap tap = augment_tap(params, map.column(0, q), W);
    const auto offset = [&](int64_t j) { return (j < 0 ? W : j) * C; };
    columns[q] = {offset(tap.first), offset(tap.second), static_cast<T>(tap.low),
                  static_cast<T>(tap.high)};
    whole = whole && tap.high == 0;
    inside = inside && tap.first >= 0 && tap.second >= 0;
  }
  for (int64_t c = 0; c < C; ++c) row[W * C + c] = fill;
  for (int64_t p = 0; p < P; ++p) {
    const AugmentTap tap = augment_tap(params, map.row(p, 0), H);
    const auto line = [&](int64_t i) {
      return i < 0 ? nullptr : x.as<T>() + ((n * H) + i) * W * C;
    };
    const T* source = line(tap.first);
    T* const to = y.as<T>() + (n * P + p) * Q * C;
    if (tap.high != 0) {
      blend_rows(source, line(tap.second), static_cast<T>(tap.low), static_cast<T>(tap.high), fill,
                 W * C, row);
      source = row;
    } else if (!source) {
      each_vector<T>(W * C, [&](auto at) { at.store(row, V(fill)); });
      source = row;
    } else if (!inside) {  // the pixel of the fill value stands behind the row
      copy_run(source, W * C, row);
      source = row;
    }
    if (whole) {
      copy_columns(source, columns, Q, C, to);
    } else {
      blend_columns(source, columns, Q, C, to);
    }
  }
}

}  // namespace

void augment_rows_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    call.pool->parallel_for(call[0].shape[0], [&](int64_t n, int) {
      const AugmentMap map =
          augment_map(call.as<AugmentParams>(), *call.step, AugmentSizes(call[0], call[1]), n);
      if (map.keeps_axes()) {
        keep_axes<T>(call, n, map);
      } else {
        augment_image<T>(call, n);
      }
    });
  });
}

void augment_rows_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    call.pool->parallel_for(call[0].shape[0],
                            [&](int64_t n, int) { augment_image_backward<T>(call, n); });
  });
}

}  // namespace convkit::CK_ISA
