// An array [rows, C] that is worked on per channel, as long rows: `fold` rows make one of `width`
// values, so that vectors are full however few the channels are. Value j of a long row belongs to
// channel j % C; only the last long row may be shorter. simd/long_rows.h runs over them.
#pragma once

#include "core/checked.h"
#include "core/kernel.h"

namespace convkit {

struct LongRows {
  static constexpr int64_t kVector = 16;  // values; a multiple of every vector's
  static constexpr int64_t kMaxSlots = 64;
  static constexpr int64_t kMaxScratch = 4 << 20;  // values of one long row for every slot

  int64_t c, fold, width;
  Chunks chunks;  // of values: whole long rows

  CK_INLINE LongRows(int64_t size, int64_t channels)
      : c(channels), fold(1), width(channels), chunks{size, 1} {
    if (c == 0) return;
    while (width % kVector != 0 || width < 4 * kVector) {  // kTooLarge is a multiple, too
      fold *= 2;
      width = checked_product(width, 2);
    }
    // A chunk stays in the cache for a second pass, and is long beside what is kept of it.
    const int64_t enough = ceil_div(16384, width), long_enough = ceil_div(64, fold);
    chunks.size = checked_product(width, enough > long_enough ? enough : long_enough);
  }
  CK_INLINE explicit LongRows(const Tensor& x) : LongRows(x.size(), x.last()) {}

  CK_INLINE int64_t rows() const { return c == 0 ? 0 : chunks.n / c; }
  CK_INLINE int64_t rows_of(int64_t chunk) const {
    return (chunks.end(chunk) - chunks.begin(chunk)) / c;
  }
  // How many threads work at most, each with scratch memory of its own.
  CK_INLINE int64_t slots() const {
    const int64_t fit = kMaxScratch / (width > 0 ? width : 1);
    const int64_t most = fit < 1 ? 1 : fit < kMaxSlots ? fit : kMaxSlots;
    return chunks.count() < most ? chunks.count() : most;
  }
  // Bytes for `count` sums over the rows, in double for each chunk and the whole.
  CK_INLINE int64_t partial_bytes(int64_t count) const {
    return round_up(checked_product(chunks.count() + 1, count, c, 8), 64);
  }
  // Bytes for `count` sums over the rows (simd/long_rows.h: ChannelSums): those, and `wide` long
  // rows of scratch for each slot.
  CK_INLINE int64_t sums_bytes(int64_t count, int64_t wide, int64_t item_bytes) const {
    return checked_sum(partial_bytes(count),
                       round_up(checked_product(slots(), wide, width, item_bytes), 64));
  }
  // Bytes for `count` parameters, repeated to the length of a long row.
  CK_INLINE int64_t wide_bytes(int64_t count, int64_t item_bytes) const {
    return round_up(checked_product(count, width, item_bytes), 64);
  }
};

}  // namespace convkit
