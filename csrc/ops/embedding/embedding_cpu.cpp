#include <cstring>
#include <limits>

#include "gemm/table_row.h"
#include "ops/embedding/embedding_types.h"

namespace convkit::CK_ISA {
namespace {

constexpr int64_t kChunk = 16384;   // values
constexpr int64_t kSums = 1 << 20;  // values that make a part of backward worth its search
constexpr int64_t kMostParts = 32;

template <class I, class T>
CK_INLINE void look_up(const I* index, const T* table, T* y, int64_t begin, int64_t end, int64_t v,
                       int64_t e) {
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = row_of(index[i], v);
    if (row >= 0) {
      std::memcpy(y + i * e, table + row * e, e * sizeof(T));
    } else {
      for (int64_t j = 0; j < e; ++j) y[i * e + j] = std::numeric_limits<T>::quiet_NaN();
    }
  }
}

template <class T>
CK_INLINE void accumulate(const T* dy, T* __restrict sum, int64_t e) {
  for (int64_t j = 0; j < e; ++j) sum[j] += dy[j];
}

// The sums of rows `begin` to `end` of the table, in the order of the positions.
template <class I, class T>
CK_INLINE void add_up(const I* index, const T* dy, T* dtable, int64_t n, int64_t begin, int64_t end,
                      int64_t v, int64_t e) {
  std::memset(dtable + begin * e, 0, (end - begin) * e * sizeof(T));
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = row_of(index[i], v);
    if (row >= begin && row < end) accumulate(dy + i * e, dtable + row * e, e);
  }
}

}  // namespace

void embedding_naive_forward(const Call& call) {
  dispatch_embedding(call[0].dtype, call[1].dtype, [&]<class I, class T>(I, T) {
    look_up(call[0].as<I>(), call[1].as<T>(), call[2].as<T>(), 0, call[0].size(), call[1].shape[0],
            call[1].shape[1]);
  });
}

void embedding_naive_backward(const Call& call) {
  dispatch_embedding(call[0].dtype, call[1].dtype, [&]<class I, class T>(I, T) {
    add_up(call[0].as<I>(), call[1].as<T>(), call[2].as<T>(), call[0].size(), 0, call[2].shape[0],
           call[2].shape[0], call[2].shape[1]);
  });
}

void embedding_rows_forward(const Call& call) {
  dispatch_embedding(call[0].dtype, call[1].dtype, [&]<class I, class T>(I, T) {
    const int64_t v = call[1].shape[0], e = call[1].shape[1];
    const Chunks chunks{call[0].size(), e < kChunk ? kChunk / e : 1};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      look_up(call[0].as<I>(), call[1].as<T>(), call[2].as<T>(), chunks.begin(chunk),
              chunks.end(chunk), v, e);
    });
  });
}

// Threads share out the rows of the table, and each looks through all positions for those of its
// rows: worth it where there is much to add up or to set to zero, and one chunk otherwise.
void embedding_rows_backward(const Call& call) {
  dispatch_embedding(call[0].dtype, call[1].dtype, [&]<class I, class T>(I, T) {
    const int64_t n = call[0].size(), v = call[2].shape[0], e = call[2].shape[1];
    const int64_t wanted = (n + v) * e / kSums;
    const int64_t parts = wanted < 1 ? 1 : wanted < kMostParts ? wanted : kMostParts;
    const Chunks chunks{v, ceil_div(v, parts)};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      add_up(call[0].as<I>(), call[1].as<T>(), call[2].as<T>(), n, chunks.begin(chunk),
             chunks.end(chunk), v, e);
    });
  });
}

}  // namespace convkit::CK_ISA
