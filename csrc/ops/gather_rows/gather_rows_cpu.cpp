#include <cstring>

#include "ops/gather_rows/gather_rows_types.h"

namespace convkit::CK_ISA {
namespace {

constexpr int64_t kChunk = 32768;  // values

CK_INLINE int64_t source_row(const Call& call, int64_t i) {
  const int64_t position = call.step->sample + i;
  return call[1].present() ? call[1].as<int64_t>()[position] : position;
}

// y never overlaps the data set, so the compiler may vectorise without asking.
template <class S, class T>
CK_INLINE void convert(const S* source, T* __restrict y, int64_t n, T scale, T offset) {
  for (int64_t j = 0; j < n; ++j) y[j] = static_cast<T>(source[j]) * scale + offset;
}

template <class S, class T>
CK_INLINE void cast(const S* source, T* __restrict y, int64_t n) {
  for (int64_t j = 0; j < n; ++j) y[j] = static_cast<T>(source[j]);
}

}  // namespace

void gather_rows_naive(const Call& call) {
  dispatch_gather(call, [&]<class S, class T>(S, T) {
    const GatherRowsParams& params = call.as<GatherRowsParams>();
    const T scale = static_cast<T>(params.scale), offset = static_cast<T>(params.offset);
    const int64_t n = row_length(call[2]);
    for (int64_t i = 0; i < call[2].shape[0]; ++i) {
      const S* source = call[0].as<S>() + source_row(call, i) * n;
      T* y = call[2].as<T>() + i * n;
      for (int64_t j = 0; j < n; ++j) y[j] = static_cast<T>(source[j]) * scale + offset;
    }
  });
}

// Data of y's own dtype that needs no scaling is copied; so are labels, but for their conversion.
void gather_rows_simd(const Call& call) {
  dispatch_gather(call, [&]<class S, class T>(S, T) {
    const GatherRowsParams& params = call.as<GatherRowsParams>();
    const T scale = static_cast<T>(params.scale), offset = static_cast<T>(params.offset);
    const bool plain = params.scale == 1 && params.offset == 0;
    const int64_t n = row_length(call[2]);
    const Chunks chunks{call[2].shape[0], n < kChunk ? kChunk / (n > 0 ? n : 1) : 1};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
        const S* source = call[0].as<S>() + source_row(call, i) * n;
        T* y = call[2].as<T>() + i * n;
        if (!plain) {
          convert(source, y, n, scale, offset);
        } else if constexpr (std::is_same_v<S, T>) {
          std::memcpy(y, source, n * sizeof(T));
        } else {
          cast(source, y, n);
        }
      }
    });
  });
}

}  // namespace convkit::CK_ISA
