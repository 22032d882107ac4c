// The backward passes of the tiled kernels of rnn: the way back through all steps, and the
// gradients that are sums over them. For kernel sources only (core/isa.h).
#pragma once

#include "gemm/shared_product.h"
#include "ops/rnn/rnn_gates.h"
#include "ops/rnn/rnn_operands.h"
#include "ops/rnn/rnn_plan.h"
#include "ops/rnn/rnn_steps.h"

namespace convkit::CK_ISA {

// Parts of the workspace, and what depends on nothing else.
template <class T, Cell kCell>
struct Reverse : Backward<T, kCell> {
  static constexpr int64_t kGates = gates(kCell);
  static constexpr int64_t kSaved = kCell == Cell::simple ? 1 : kCell == Cell::lstm ? 5 : 4;
  RnnBackwardPlan plan;
  T *work, *da, *rh, *dh_now, *dc_now, *d_rh, *zeros;
  const T *packed_u, *packed_un;
  int64_t GH, width;

  CK_INLINE explicit Reverse(const Call& call)
      : Backward<T, kCell>(call),
        plan(kCell, call.as<RnnParams>(), this->N, this->steps, this->C, this->H, this->numbers),
        work(reinterpret_cast<T*>(call.workspace)),
        GH(kGates * this->H),
        width(plan.da_width) {
    da = work + plan.da;
    rh = work + plan.rh;
    dh_now = work + plan.dh;
    dc_now = work + plan.dc;
    d_rh = work + plan.d_rh;
    zeros = work + plan.zeros;
    clear_run(zeros, this->H);
    packed_u = work + plan.u;
    packed_un = work + plan.un;
    const int64_t H = this->H, first = rh_apart() ? 2 * H : GH;
    pack_transposed(call.pool, Panels<T>{first, H}, this->u, GH, work + plan.u);
    if (rh_apart()) {
      pack_transposed(call.pool, Panels<T>{H, H}, this->u + first, GH, work + plan.un);
    }
  }

  // Rows of the transpose of x.
  CK_INLINE int64_t inputs() const { return this->numbers ? 0 : this->C; }
  // Whether the last block of u is multiplied with r h.
  CK_INLINE bool rh_apart() const { return kCell == Cell::gru && !this->reset_after; }
  CK_INLINE int64_t at(int64_t n, int64_t s) const { return n * this->steps + this->time(s); }

  // The state before a step whose last real one before it is `last`.
  CK_INLINE const T* state(int64_t n, int64_t last) const {
    if (last >= 0) return this->y + (n * this->steps + this->place(last)) * this->H;
    return this->h0 != nullptr ? this->h0 + n * this->H : zeros;
  }
  // What is saved of a step, or y where nothing else is.
  CK_INLINE int64_t saved_width() const {
    return kCell == Cell::gru && rh_apart() ? 3 * this->H : kSaved * this->H;
  }
  CK_INLINE const T* saved_at(int64_t n, int64_t s) const {
    if (kCell == Cell::simple) return this->y + (n * this->steps + this->place(s)) * this->H;
    return this->saved + at(n, s) * saved_width();
  }

  // The product of gradients, from column `from` of da on, with a packed transpose.
  CK_INLINE void multiply(int64_t n, int64_t rows, int64_t s, int64_t from, int64_t depth,
                          const T* packed, T* to, bool add, const Fetch<T>& fetch) const {
    const int64_t H = this->H;
    packed_product_here(Product<T>{rows, H, depth, da + at(n, s) * width + from,
                                   this->steps * width, nullptr, 0, to + n * H, H, nullptr, add},
                        packed, fetch);
  }
};

// A step of some sequences, taken back.
template <class T>
struct BackOf {
  int64_t begin, rows, s;
  bool on;              // whether the gradients of the states before it are wanted
  const int64_t* last;  // of each sequence, the last real step before it, or -1
  Fetch<T> fetch;       // what an earlier step wants
};

// Goes back through all steps: take(step) makes da of a step and, where it goes on, turns dh and dc
// into gradients of the states before it.
template <Cell kCell, class T, class Take>
void go_back(const Call& call, const Reverse<T, kCell>& p, const Take& take) {
  using Matrix = typename Fetch<T>::Matrix;
  const int64_t H = p.H, width = p.saved_width();
  const SequenceChunks chunks{p.N};
  const auto go_on = [&](int64_t s) { return s > 0 ? !p.cut(s) : p.dh0 != nullptr; };
  call.pool->parallel_for(
      chunks.count(),
      [&](int64_t chunk, int) {
        const int64_t begin = chunks.begin(chunk), end = chunks.begin(chunk + 1);
        const int64_t rows = end - begin;
        const auto first = [&](const T* gradient, T* to) {
          copy_or_clear(gradient != nullptr ? gradient + begin * H : nullptr, rows * H,
                        to + begin * H);
        };
        first(p.dh, p.dh_now);
        if constexpr (kCell == Cell::lstm) first(p.dc, p.dc_now);
        int64_t real_before[SequenceChunks::kMost];  // step s
        for (int64_t& last : real_before) last = p.steps;
        for (int64_t s = p.steps - 1; s >= 0; --s) {
          for (int64_t n = begin; n < end; ++n) {
            int64_t& last = real_before[n - begin];
            if (last >= s) last = p.real_before(n, s);
            // Before a sequence's first step y is 0, whatever its state is.
            if (p.dy != nullptr && (p.real(n, s) || last >= 0)) {
              add_run(p.dy + (n * p.steps + p.place(s)) * H, H, p.dh_now + n * H);
            }
            if (!p.real(n, s)) clear_run(p.da + p.at(n, s) * p.width, p.width);
          }
          // Two steps ahead: of an LSTM, the one between them wants the cells already.
          Fetch<T> fetch;
          if (s > 1) {
            const int64_t calls =
                ceil_div(rows, 8) * ceil_div(H, 64) * ceil_div(p.GH, Fetch<T>::kLine);
            Matrix dy{};
            if (p.dy != nullptr) {
              dy = {p.dy + (begin * p.steps + p.place(s - 2)) * H, p.steps * H, rows, H};
            }
            fetch =
                Fetch<T>(Matrix{p.saved_at(begin, s - 2), p.steps * width, rows, width}, dy, calls);
          }
          take(BackOf<T>{begin, rows, s, go_on(s), real_before, fetch});
          if (p.cut(s)) {
            first(nullptr, p.dh_now);
            if constexpr (kCell == Cell::lstm) first(nullptr, p.dc_now);
          }
        }
        if (p.dh0 != nullptr) copy_run(p.dh_now + begin * H, rows * H, p.dh0 + begin * H);
        if (p.dc0 != nullptr) copy_run(p.dc_now + begin * H, rows * H, p.dc0 + begin * H);
      },
      max_threads<T>(p.N * p.steps, p.GH, H));
}

// Terms that are transposed together.
constexpr int64_t kTransposed = 128;

// Rows [begin, end) of a matrix, of which row(i) is the i-th, as columns of its transpose [width,
// .], whose rows are ld apart.
template <class T, class Row>
CK_INLINE void transpose_rows(const Row& row, int64_t begin, int64_t end, int64_t width, T* to,
                              int64_t ld) {
  constexpr int64_t lanes = Vec<T>::kLanes;
  alignas(kVecBytes) T block[lanes * lanes];
  const T* rows[kTransposed];
  for (int64_t i = begin; i < end; ++i) rows[i - begin] = row(i);
  for (int64_t j = 0; j < width; j += lanes) {
    const int64_t columns = width - j < lanes ? width - j : lanes;
    for (int64_t i = begin; i < end; i += lanes) {
      const int64_t count = end - i < lanes ? end - i : lanes;
      for (int64_t k = 0; k < count; ++k) {
        copy_run(rows[i - begin + k] + j, columns, block + k * lanes);
      }
      transpose_block(block, lanes, count, columns, to + j * ld + i, ld);
    }
  }
}

// The states before all steps, x and, where it is wanted, r h, transposed.
template <Cell kCell, class T>
void transpose_left(const Call& call, const Reverse<T, kCell>& p) {
  const int64_t H = p.H, C = p.inputs(), ld = p.plan.terms;
  T *const states = p.work + p.plan.left, *const x = states + H * ld, *const rh = x + C * ld;
  const Chunks terms{p.N * p.steps, kTransposed};
  call.pool->parallel_for(
      terms.count(),
      [&](int64_t chunk, int) {
        const int64_t begin = terms.begin(chunk), end = terms.end(chunk);
        const auto state = [&](int64_t i) {
          const int64_t n = i / p.steps, s = p.time(i % p.steps);  // time is its own inverse
          return p.state(n, p.real_before(n, s));
        };
        transpose_rows(state, begin, end, H, states, ld);
        transpose_rows([&](int64_t i) { return p.x + i * C; }, begin, end, C, x, ld);
        if (p.rh_apart()) {
          transpose_rows([&](int64_t i) { return p.rh + i * H; }, begin, end, H, rh, ld);
        }
      },
      max_threads<T>(p.N * p.steps, H + C, 1));
}

// dx, from the first columns of da and, in a GRU, from its last block.
template <Cell kCell, class T>
void input_gradient(const Call& call, const Reverse<T, kCell>& p) {
  if (p.dx == nullptr) return;
  T* const packed = p.work + p.plan.w;
  const int64_t H = p.H, first = kCell == Cell::gru ? 2 * H : p.GH;
  const auto multiply = [&](int64_t column, int64_t depth, const T* da, bool add) {
    pack_transposed(call.pool, Panels<T>{depth, p.C}, p.w + column, p.GH, packed);
    packed_product(
        call.pool,
        Product<T>{p.N * p.steps, p.C, depth, da, p.width, nullptr, 0, p.dx, p.C, nullptr, add},
        packed);
  };
  multiply(0, first, p.da, false);
  if (kCell == Cell::gru) multiply(2 * H, H, p.da + p.width - H, true);
}

// The gradients of w, u and their biases, which are sums over all steps; dw, where x holds numbers,
// sums of the steps of each.
template <Cell kCell, class T>
void weight_gradients(const Call& call, const Reverse<T, kCell>& p) {
  transpose_left(call, p);
  const bool by_product = p.dw != nullptr && !p.numbers, by_number = p.dw != nullptr && p.numbers;
  const int64_t H = p.H, C = p.inputs(), ld = p.plan.terms, terms = p.N * p.steps;
  const T *const states = p.work + p.plan.left, *const x = states + H * ld;
  const auto product = [&](bool with_u, bool with_w, const T* a, int64_t from, int64_t columns,
                           int64_t gate, T* sums) {
    const int64_t rows[2] = {with_u && p.du != nullptr ? H : 0, with_w && by_product ? C : 0};
    const T* const left = rows[0] == 0 && with_u ? a + H * ld : a;
    return SharedProduct<T>{{rows[0], rows[1]},
                            columns,
                            terms,
                            left,
                            ld,
                            p.da + from,
                            p.width,
                            {p.du + gate * H, p.dw + gate * H},
                            p.GH,
                            sums,
                            {p.x, p.C, with_w && by_number ? p.dw + gate * H : nullptr}};
  };
  SharedProduct<T> products[3];
  int count = 0;
  T *const db = p.db, *const db1 = p.second_bias();
  const auto part = [H](T* bias, int64_t gate) { return bias ? bias + gate * H : nullptr; };
  if constexpr (kCell != Cell::gru) {
    products[count++] = product(true, true, states, 0, p.GH, 0, db);
  } else {
    products[count++] = product(true, true, states, 0, 2 * H, 0, db);
    if (p.reset_after) {
      products[count++] = product(true, false, states, 2 * H, H, 2, part(db1, 2));
      products[count++] = product(false, true, x, 3 * H, H, 2, part(db, 2));
    } else {
      // r h stands behind x.
      SharedProduct<T> both = product(false, true, x, 2 * H, H, 2, part(db, 2));
      if (!by_product) both.a += C * ld;
      both.rows[1] = p.du != nullptr ? H : 0;
      both.rows[0] = by_product ? C : 0;
      both.c[0] = p.dw + 2 * H, both.c[1] = p.du + 2 * H;
      products[count++] = both;
    }
  }
  shared_products(call.pool, products, count, p.work + p.plan.total, shared_scratch(H + C),
                  RnnBackwardPlan::kSlots);
  if (db1 == nullptr) return;
  copy_run(db, kCell == Cell::gru && p.reset_after ? 2 * H : p.GH, db1);
}

}  // namespace convkit::CK_ISA
