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

// Of a gate, in panels of up to four vectors: at most so many columns.
CK_INLINE int64_t rnn_padded(int64_t H) { return round_up(H, 64); }

// A narrow w stays in the cache beside u, and x w is a part of each step. Otherwise it is made for
// all steps at once, where the gates are saved; that of the simple cell in `sums`.
// If x holds numbers, a step begins with rows of w where they are.
struct RnnForwardPlan {
  bool fused;
  int64_t w, u, un;     // packed; un is the last block of u in a GRU without reset_after
  int64_t bias, bias1;  // beside x w, both rows in one; beside q
  int64_t state;        // [2,N,H] before and after a step
  int64_t sums;         // [N*T,H]
  int64_t rh;           // [N,H] r h, without reset_after
  int64_t total;

  CK_INLINE RnnForwardPlan(Cell cell, const RnnParams& params, int64_t N, int64_t T, int64_t C,
                           int64_t H, bool numbers) {
    const bool rh_first = cell == Cell::gru && params.reset_after == 0;
    const int64_t GH = gates(cell) * H, padded = gates(cell) * rnn_padded(H);
    fused = !numbers && !rh_first && C <= H && checked_product(C, GH) <= kFusedWeights;
    RnnLayout layout;
    w = layout.take(numbers ? 0 : C, fused ? padded : GH);
    u = layout.take(H, padded);
    un = layout.take(rh_first ? H : 0, rnn_padded(H));
    bias = layout.take(1, GH);
    bias1 = layout.take(1, H);
    state = layout.take(2, N * H);
    sums =
        layout.take(cell == Cell::simple && !fused && !numbers ? 1 : 0, checked_product(N, T, H));
    rh = layout.take(rh_first ? 1 : 0, N * H);
    total = layout.total;
  }

  static constexpr int64_t kFusedWeights = 80000;
};

struct RnnBackwardPlan {
  int64_t w, u, un;      // packed transposes
  int64_t da_width, da;  // [N*T,da_width] gradients of the gates' sums; a GRU's also of q
  // Transposes, `terms` apart: [H,N*T] the states before the steps, [C,N*T] x unless it holds
  // numbers, and, without reset_after, r times those states.
  int64_t left, terms;
  int64_t rh;            // [N*T,H] without reset_after
  int64_t dh, dc, d_rh;  // [N,H]
  int64_t zeros;         // [H]
  int64_t total;

  CK_INLINE RnnBackwardPlan(Cell cell, const RnnParams& params, int64_t N, int64_t T, int64_t C,
                            int64_t H, bool numbers) {
    const bool gru = cell == Cell::gru, q = gru && params.reset_after != 0;
    const int64_t GH = gates(cell) * H, NT = checked_product(N, T);
    RnnLayout layout;
    w = layout.take(GH, C);
    u = layout.take(gru ? 2 * H : GH, H);
    un = layout.take(gru ? H : 0, H);
    da_width = q ? 4 * H : GH;
    da = layout.take(1, checked_product(NT, da_width));
    terms = round_up(checked_sum(NT, 16), 16);
    left = layout.take(checked_sum(numbers ? 0 : C, gru && !q ? 2 * H : H), terms);
    rh = layout.take(gru && !q ? 1 : 0, checked_product(NT, H));
    dh = layout.take(1, N * H);
    dc = layout.take(cell == Cell::lstm ? 1 : 0, N * H);
    d_rh = layout.take(gru && !q ? 1 : 0, N * H);
    zeros = layout.take(1, H);
    total = layout.total;
  }

  // Threads that have scratch memory for the weights' gradients, behind all this.
  static constexpr int kSlots = 64;
};

}  // namespace convkit
