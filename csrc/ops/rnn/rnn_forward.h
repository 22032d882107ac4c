// The forward passes of the tiled kernels of rnn: the way through all steps. For kernel sources
// only (core/isa.h).
#pragma once

#include <limits>

#include "ops/rnn/rnn_gates.h"
#include "ops/rnn/rnn_operands.h"
#include "ops/rnn/rnn_plan.h"
#include "ops/rnn/rnn_steps.h"

namespace convkit::CK_ISA {

// Parts of the workspace, and what all steps need.
template <class T, Cell kCell>
struct Steps : Forward<T, kCell> {
  static constexpr int64_t kGates = gates(kCell);
  RnnForwardPlan plan;
  T *work, *state;
  const T *bias, *bias1;  // GH, and H beside q
  T* sums;                // x w + b of all steps, unless it is fused
  int64_t width;          // of a row of sums or of what is saved

  CK_INLINE explicit Steps(const Call& call)
      : Forward<T, kCell>(call),
        plan(kCell, call.as<RnnParams>(), this->N, this->steps, this->C, this->H, this->numbers),
        work(reinterpret_cast<T*>(call.workspace)) {
    const int64_t H = this->H, GH = kGates * H;
    state = work + plan.state;
    T *const both = work + plan.bias, *const q = work + plan.bias1;
    bias = both, bias1 = q;
    copy_or_clear(this->b0, GH, both);
    clear_run(q, H);
    const bool apart = kCell == Cell::gru && this->reset_after;
    if (this->b1 != nullptr) add_run(this->b1, kCell == Cell::gru ? 2 * H : GH, both);
    if (this->b1 != nullptr && apart) copy_run(this->b1 + 2 * H, H, q);
    width = kCell == Cell::simple ? H : kCell == Cell::lstm ? 5 * H : apart ? 4 * H : 3 * H;
    sums = kCell == Cell::simple ? work + plan.sums : this->saved;
  }

  // Packs w, for tiles of these gates if it is fused; else makes the sums of all steps.
  template <class Gates>
  void multiply_inputs(const Call& call, const Gates& panels) const {
    const int64_t GH = kGates * this->H, R = this->N * this->steps;
    if (plan.fused) return pack(call.pool, panels, this->w, GH, work + plan.w);
    if (this->numbers) return;
    pack(call.pool, Panels<T>{this->C, GH}, this->w, GH, work + plan.w);
    packed_product(call.pool,
                   Product<T>{R, GH, this->C, this->x, this->C, nullptr, 0, sums, width, bias},
                   work + plan.w);
  }

  CK_INLINE int64_t at(int64_t n, int64_t s) const { return n * this->steps + this->time(s); }

  // What the sums of `size` sequences from n on begin with at step s, with columns from gate `gate`
  // on: the bias, x w, or, by number, rows of w with the bias, which are made in `rows`. Of what
  // means no row, NaN.
  template <class Gates>
  CK_INLINE void starts(const Gates& panels, int64_t panel, int64_t n, int size, int64_t s,
                        int64_t gate, T* rows, Start<T>* to) const {
    if (this->numbers) rows_by_number(panels, panel, n, size, s, gate, rows);
    for (int v = 0; v < Gates::kVectors; ++v) {
      const int lanes = panels.lanes(panel, v);
      const int64_t column = first_column(panels, panel, v, gate);
      if (this->numbers) {
        to[v] = {rows + v * Gates::kLanes, Gates::kWidth, Gates::kLanes};
      } else if (plan.fused) {
        to[v] = {bias + column, 0, lanes};
      } else {
        to[v] = {sums + at(n, s) * width + column, this->steps * width, lanes};
      }
    }
  }

  template <class Gates>
  CK_INLINE int64_t first_column(const Gates& panels, int64_t panel, int v, int64_t gate) const {
    return gate * this->H + (panels.lanes(panel, v) > 0 ? panels.column(panel, v) : 0);
  }

  template <class Gates>
  CK_INLINE void rows_by_number(const Gates& panels, int64_t panel, int64_t n, int size, int64_t s,
                                int64_t gate, T* rows) const {
    using V = Vec<T>;
    for (int r = 0; r < size; ++r, rows += Gates::kWidth) {
      const int64_t row = row_of(this->x[at(n + r, s)], this->C);
      for (int v = 0; v < Gates::kVectors; ++v) {
        const int lanes = panels.lanes(panel, v);
        const int64_t column = first_column(panels, panel, v, gate);
        V sum = std::numeric_limits<T>::quiet_NaN();
        if (row >= 0) {
          const T* const from = this->w + row * kGates * this->H + column;
          sum = V::load_partial(from, lanes) + V::load_partial(bias + column, lanes);
        }
        sum.storeu(rows + v * V::kLanes);
      }
    }
  }

  CK_INLINE Terms<T> input_terms(int64_t n, int64_t s) const {
    return {this->x + at(n, s) * this->C, this->steps * this->C, this->C, work + plan.w};
  }
};

// A step of some sequences.
template <class T>
struct StepOf {
  int64_t begin, rows, s;
  const T* h;  // the states before; absent ones add nothing
  T* h_after;
  bool absent;
  Fetch<T> fetch;  // what the next step wants

  CK_INLINE Terms<T> state_terms(int64_t H, const T* packed) const {
    return {h, H, absent ? 0 : H, packed};
  }
};

template <Cell kCell, class T>
CK_INLINE StepRow<T> step_row(const Steps<T, kCell>& p, const StepOf<T>& step, int64_t row) {
  const int64_t n = step.begin + row, H = p.H, s = step.s;
  T* const y = p.y + n * p.steps * H;
  return {H,
          p.real(n, s),
          step.h + row * H,
          step.h_after + row * H,
          y + p.place(s) * H,
          s > 0 ? y + p.place(s - 1) * H : nullptr,
          kCell == Cell::simple ? nullptr : p.saved + p.at(n, s) * p.width};
}

// Takes all steps: take(step) makes the states after a step, and what is saved.
template <Cell kCell, class T, class Take>
void take_steps(const Call& call, const Steps<T, kCell>& p, const Take& take) {
  using Matrix = typename Fetch<T>::Matrix;
  const int64_t H = p.H;
  const SequenceChunks chunks{p.N};
  call.pool->parallel_for(
      chunks.count(),
      [&](int64_t chunk, int) {
        const int64_t begin = chunks.begin(chunk), rows = chunks.begin(chunk + 1) - begin;
        const auto first = [&](const T* state, T* to) {
          copy_or_clear(state != nullptr ? state + begin * H : nullptr, rows * H, to);
        };
        T *h = p.state + begin * H, *h_after = h + p.N * H;
        first(p.h0, h);
        if constexpr (kCell == Cell::lstm) first(p.c0, p.c + begin * H);
        for (int64_t s = 0; s < p.steps; ++s) {
          Fetch<T> fetch;
          if (s + 1 < p.steps && (kCell != Cell::simple || !(p.plan.fused || p.numbers))) {
            const int64_t calls =
                ceil_div(rows, 8) * ceil_div(gates(kCell) * H, 64) * ceil_div(H, Fetch<T>::kLine);
            fetch = Fetch<T>(
                Matrix{p.sums + p.at(begin, s + 1) * p.width, p.steps * p.width, rows, p.width},
                Matrix{}, calls);
          }
          take(StepOf<T>{begin, rows, s, h, h_after, s == 0 && p.h0 == nullptr, fetch});
          T* const swap = h;
          h = h_after, h_after = swap;
        }
        copy_run(h, rows * H, p.h + begin * H);
      },
      max_threads<T>(p.N * p.steps, gates(kCell) * H, H));
}

}  // namespace convkit::CK_ISA
