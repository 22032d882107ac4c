// What the tiled kernels of rnn keep in their workspace.
#pragma once

#include "core/checked.h"
#include "ops/rnn/rnn.h"

namespace convkit {

// Deals out stretches of the workspace, in elements, each on a cache line.
struct RnnLayout {
  int64_t total = 0;

  CK_INLINE int64_t take(int64_t rows, int64_t columns) {
    const int64_t begin = total;
    total = checked_sum(total, checked_product(rows, round_up(columns, 16)));
    return begin;
  }
};

// The sums with x w are made where the gates are saved, those of the simple cell in `sums`.
struct RnnForwardPlan {
  int64_t w, u, un;  // packed; un is the last block of u in a GRU, which is a product of its own
  int64_t bias;      // both rows in one
  int64_t sums;      // [N*T,H]
  int64_t rh;        // [N,H] r h, without reset_after
  int64_t total;

  CK_INLINE RnnForwardPlan(Cell cell, const RnnParams& params, int64_t N, int64_t T, int64_t C,
                           int64_t H) {
    const bool gru = cell == Cell::gru;
    const int64_t GH = gates(cell) * H;
    RnnLayout layout;
    w = layout.take(C, GH);
    u = layout.take(H, gru ? 2 * H : GH);
    un = layout.take(gru ? H : 0, H);
    bias = layout.take(1, GH);
    sums = layout.take(cell == Cell::simple ? 1 : 0, checked_product(N, T, H));
    rh = layout.take(gru && params.reset_after == 0 ? 1 : 0, N * H);
    total = layout.total;
  }
};

struct RnnBackwardPlan {
  int64_t w, u, un;      // packed transposes
  int64_t da_width, da;  // [N*T,da_width] gradients of the gates' sums; a GRU's also of q
  int64_t before, rh;    // [N*T,H] the state before each step; r times it, without reset_after
  int64_t dh, dc, d_rh;  // [N,H]
  int64_t zeros;         // [H]
  int64_t total;

  CK_INLINE RnnBackwardPlan(Cell cell, const RnnParams& params, int64_t N, int64_t T, int64_t C,
                            int64_t H) {
    const bool gru = cell == Cell::gru, q = gru && params.reset_after != 0;
    const int64_t GH = gates(cell) * H, NTH = checked_product(N, T, H);
    RnnLayout layout;
    w = layout.take(GH, C);
    u = layout.take(gru ? 2 * H : GH, H);
    un = layout.take(gru ? H : 0, H);
    da_width = q ? 4 * H : GH;
    da = layout.take(1, checked_product(N, T, da_width));
    before = layout.take(1, NTH);
    rh = layout.take(gru && !q ? 1 : 0, NTH);
    dh = layout.take(1, N * H);
    dc = layout.take(cell == Cell::lstm ? 1 : 0, N * H);
    d_rh = layout.take(gru && !q ? 1 : 0, N * H);
    zeros = layout.take(1, H);
    total = layout.total;
  }
};

}  // namespace convkit
