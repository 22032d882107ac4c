// How the vectorised kernels of lrn lay out a block of x in scratch memory: rows of `length` values
// with zeros between them (and above and below), so that windows may reach over the edges and every
// loop runs over one long array. A row is a pixel's channels, or a line of an image.
#pragma once

#include "core/checked.h"
#include "ops/lrn/lrn.h"

namespace convkit {

struct LrnPlan {
  static constexpr int64_t kBlock = 4096;         // values in a block of pixels
  static constexpr int64_t kMaxSlots = 64;        // threads at most, each with its scratch memory
  static constexpr int64_t kMaxBytes = 64 << 20;  // of all of it, unless one slot needs more
  static constexpr int64_t kVector = 16;          // values; no vector is longer

  bool within;
  LrnReach across, down;  // of a window: along a row, in steps of `step`, and over rows
  int64_t step;
  int64_t length, pitch;     // values in a row, and to the next
  int64_t total, rows;       // rows of x, and in a block
  int64_t margin, capacity;  // zeros before the first row; values in all

  CK_INLINE LrnPlan(const Tensor& x, const LrnParams& p)
      : within(lrn_within(p)),
        across(p.size, within ? x.shape[2] : x.last()),
        down(within ? p.size : 1, within ? x.shape[1] : 1),
        step(within ? x.last() : 1),
        length(within ? checked_product(x.shape[2], x.last()) : x.last()),
        pitch(checked_sum(length, checked_product(across.most(), step))),
        total(length == 0 ? 0 : x.size() / length),
        rows(within ? x.shape[1] : ceil_div(kBlock, pitch > 0 ? pitch : 1)) {
    if (rows > total) rows = total;
    margin = checked_sum(checked_product(across.most(), step), checked_product(down.most(), pitch));
    capacity = round_up(checked_sum(checked_product(2, margin), body(), kVector), kVector);
  }

  CK_INLINE int64_t body() const { return checked_product(rows, pitch); }
  CK_INLINE Chunks blocks() const { return {total, rows > 0 ? rows : 1}; }
  CK_INLINE int64_t slots(int64_t buffers, int64_t item_bytes) const {
    const int64_t fit = kMaxBytes / checked_product(buffers, capacity, item_bytes);
    const int64_t most = fit < 1 ? 1 : fit < kMaxSlots ? fit : kMaxSlots;
    return blocks().count() < most ? blocks().count() : most;
  }
  CK_INLINE Workspace workspace(int64_t buffers, int64_t item_bytes) const {
    const int64_t each = checked_product(buffers, capacity, item_bytes);
    return {0, slots(buffers, item_bytes), each};
  }
};

constexpr int64_t kLrnForwardBuffers = 3;   // x, sums along rows, y
constexpr int64_t kLrnBackwardBuffers = 5;  // x, sums along rows, dx, dy, ratios

}  // namespace convkit
