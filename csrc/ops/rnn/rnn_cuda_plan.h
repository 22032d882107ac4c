// What the CUDA kernels of rnn keep in their workspace, and how they cut their work.
#pragma once

#include "cuda/kernel.h"
#include "cuda/split_sums.cuh"
#include "ops/rnn/rnn_operands.h"

namespace convkit::cuda::rnn {

constexpr int64_t kStepThreads = 256;
// A block takes up to so many sequences through their steps, with that many sums to a weight; fewer
// where there are not enough of them for that many blocks. The emulator has small sizes, for which
// tests are to reach all that there is.
constexpr int64_t kBlockRows = 4, kWantedBlocks = CK_CUDA_EMULATED ? 4 : 128;
// Shared memory of a block that every GPU has.
constexpr int64_t kSharedBytes = CK_CUDA_EMULATED ? 32 * 1024 : 64 * 1024;

CK_INLINE int64_t block_rows(int64_t N, int64_t most) {
  const int64_t rows = ceil_div(N, kWantedBlocks);
  return rows < 1 ? 1 : rows < most ? rows : most;
}

// A row of what is saved, or of the sums of the simple cell.
CK_INLINE constexpr int64_t saved_blocks(Cell cell, bool reset_after) {
  return cell == Cell::simple ? 1 : cell == Cell::lstm ? 5 : reset_after ? 4 : 3;
}

// Elements of shared memory for the partial sums of a step, and of states for each unit and row: h
// before and after and c or r h; dh, dc or d_rh, and da.
CK_INLINE constexpr int64_t forward_parts(Cell cell) {
  return kStepThreads * kBlockRows * gates(cell);
}
CK_INLINE constexpr int64_t backward_parts() { return kStepThreads * kBlockRows; }
// Bytes for a number of each row.
constexpr int64_t kRowBytes = 8 * kBlockRows;
constexpr int64_t kForwardStates = 3 * kBlockRows;
CK_INLINE constexpr int64_t backward_states(Cell cell) { return (2 + gates(cell)) * kBlockRows; }

// Whether the states fit the shared memory, with `parts` elements beside them.
inline bool states_fit(int64_t H, int64_t states, int64_t parts, int64_t bytes) {
  const int64_t all = checked_product(checked_sum(checked_product(H, states), parts), bytes);
  return checked_sum(all, kRowBytes) <= kSharedBytes;
}

// Deals out stretches of the workspace, in elements, each on a line of 128 bytes.
struct Layout {
  int64_t total = 0;

  int64_t take(int64_t rows, int64_t columns) {
    const int64_t begin = total;
    total = checked_sum(total, checked_product(rows, round_up(columns, 32)));
    return begin;
  }
};

struct ForwardPlan {
  int64_t sums;    // [N*T,H] x w + b of the simple cell; the others make it where they save gates
  int64_t table;   // [C+1,GH] w + b and a row of NaN, if x holds numbers
  int64_t states;  // of all blocks, where they don't fit shared memory
  int64_t total;

  ForwardPlan(Cell cell, int64_t N, int64_t T, int64_t C, int64_t H, bool numbers, int64_t bytes) {
    const int64_t NT = checked_product(N, T);
    Layout layout;
    sums = layout.take(cell == Cell::simple && !numbers ? 1 : 0, checked_product(NT, H));
    table = layout.take(numbers ? 1 : 0, checked_product(C + 1, gates(cell) * H));
    const bool fit = states_fit(H, kForwardStates, forward_parts(cell), bytes);
    const int64_t blocks = ceil_div(N, block_rows(N, kBlockRows));
    states = layout.take(fit ? 0 : blocks, checked_product(kForwardStates, H));
    total = layout.total;
  }
};

struct BackwardPlan {
  int64_t width;   // of a row of da: the gates, of a GRU with reset_after also q
  int64_t da;      // [N*T,width] gradients of the gates' sums
  int64_t before;  // [N*T,H] the states before the steps
  int64_t rh;      // [N*T,H] r h, of a GRU without reset_after
  int64_t u;       // [GH,H] transposed
  int64_t states;  // as in the forward pass
  Splits splits;   // of the sums over all steps
  int64_t parts;   // [splits, .] their partial sums, if there are several
  int64_t total;

  BackwardPlan(Cell cell, bool reset_after, int64_t N, int64_t T, int64_t C, int64_t H,
               bool numbers, int64_t bytes) {
    const bool gru = cell == Cell::gru;
    const int64_t NT = checked_product(N, T), GH = gates(cell) * H;
    width = gru && reset_after ? 4 * H : GH;
    Layout layout;
    da = layout.take(1, checked_product(NT, width));
    before = layout.take(1, checked_product(NT, H));
    rh = layout.take(gru && !reset_after ? 1 : 0, checked_product(NT, H));
    u = layout.take(1, checked_product(GH, H));
    const bool fit = states_fit(H, backward_states(cell), backward_parts(), bytes);
    const int64_t blocks = ceil_div(N, block_rows(N, kBlockRows));
    states = layout.take(fit ? 0 : blocks, checked_product(backward_states(cell), H));
    // Some 256 tiles of 64 x 64, with at least 128 terms each.
    const int64_t rows = checked_sum(numbers ? 0 : C, H, 2);
    const int64_t tiles = checked_product(ceil_div(rows, 64), ceil_div(GH, 64));
    splits = Splits::of(NT, ceil_div(256, tiles), 128, 16);
    parts = layout.take(splits.count > 1 ? splits.count : 0, checked_product(rows, GH));
    total = layout.total;
  }
};

}  // namespace convkit::cuda::rnn
