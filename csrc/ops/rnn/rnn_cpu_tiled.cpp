// rnn in register tiles. What does not depend on the state is one product over all steps: x w
// before them, dx and the weights' gradients after them. What does is taken by chunks of sequences,
// each chunk through all its steps on one thread, so that no thread waits for another; u is packed
// once and stays in the second-level cache.
#include "gemm/product.h"
#include "gemm/runs.h"
#include "ops/rnn/rnn_gates.h"
#include "ops/rnn/rnn_operands.h"
#include "ops/rnn/rnn_plan.h"

namespace convkit::CK_ISA {
namespace {

// Sequences that are taken through their steps together: a tile or two, in chunks of equal size.
constexpr int64_t kSequences = 16;

CK_INLINE Chunks sequence_chunks(int64_t N) {
  const int64_t chunks = N > 0 ? ceil_div(N, kSequences) : 1;
  return {N, N > 0 ? ceil_div(N, chunks) : 1};
}

template <class T>
void pack(ThreadPool* pool, const Panels<T>& panels, const T* matrix, int64_t ld, T* packed) {
  pool->parallel_for(
      panels.count(), [&](int64_t panel, int) { panels.pack(panel, matrix, ld, packed); },
      max_threads<T>(panels.rows, panels.columns, 1));
}

template <class T>
void pack_transposed(ThreadPool* pool, const Panels<T>& panels, const T* matrix, int64_t ld,
                     T* packed) {
  pool->parallel_for(
      panels.count(),
      [&](int64_t panel, int) {
        panels.pack_transposed(panel, 0, panels.rows, matrix, ld, packed);
      },
      max_threads<T>(panels.rows, panels.columns, 1));
}

// to = from, zeros if from is null.
template <class T>
CK_INLINE void copy_or_clear(const T* from, int64_t n, T* to) {
  if (from != nullptr) return copy_run(from, n, to);
  clear_run(to, n);
}

// ---- forward

// The sums x w + b of all steps, in rows ld apart; returns the packed u.
template <Cell kCell, class T>
void multiply_inputs(const Call& call, const Forward<T, kCell>& p, const RnnForwardPlan& plan,
                     T* sums, int64_t ld) {
  const int64_t GH = gates(kCell) * p.H;
  T* const work = reinterpret_cast<T*>(call.workspace);
  pack(call.pool, Panels<T>{p.C, GH}, p.w, GH, work + plan.w);
  const T* bias = p.b0;
  if (p.b1 != nullptr) {
    T* const both = work + plan.bias;
    copy_run(p.b0, GH, both);
    add_run(p.b1, kCell == Cell::gru ? 2 * p.H : GH, both);
    bias = both;
  }
  const Product<T> product{p.N * p.steps, GH, p.C, p.x, p.C, nullptr, 0, sums, ld, bias};
  packed_product(call.pool, product, work + plan.w);
}

// Takes all steps: step(n, rows, s) makes the new states of sequences [n, n + rows) in h and c
// where step s is real.
template <Cell kCell, class T, class Step>
void take_steps(const Call& call, const Forward<T, kCell>& p, const Step& step) {
  const int64_t H = p.H;
  const Chunks chunks = sequence_chunks(p.N);
  call.pool->parallel_for(
      chunks.count(),
      [&](int64_t chunk, int) {
        const int64_t begin = chunks.begin(chunk), end = chunks.end(chunk), rows = end - begin;
        const auto first = [&](const T* state, T* to) {
          copy_or_clear(state != nullptr ? state + begin * H : nullptr, rows * H, to + begin * H);
        };
        first(p.h0, p.h);
        if constexpr (kCell == Cell::lstm) first(p.c0, p.c);
        for (int64_t s = 0; s < p.steps; ++s) {
          step(begin, rows, s);
          for (int64_t n = begin; n < end; ++n) {
            T* const y = p.y + n * p.steps * H;
            const T* last = s > 0 ? y + p.place(s - 1) * H : nullptr;
            if (p.real(n, s)) last = p.h + n * H;
            copy_or_clear(last, H, y + p.place(s) * H);
          }
        }
      },
      max_threads<T>(p.N * p.steps, gates(kCell) * H, H));
}

// ---- backward

// Parts of the workspace, and what depends on nothing else.
template <class T, Cell kCell>
struct Reverse : Backward<T, kCell> {
  static constexpr int64_t kGates = gates(kCell);
  RnnBackwardPlan plan;
  T *da, *before, *rh, *dh_now, *dc_now, *d_rh, *zeros;
  const T *packed_u, *packed_un;
  int64_t GH, width;

  CK_INLINE explicit Reverse(const Call& call)
      : Backward<T, kCell>(call),
        plan(kCell, call.as<RnnParams>(), this->N, this->steps, this->C, this->H),
        GH(kGates * this->H),
        width(plan.da_width) {
    T* const work = reinterpret_cast<T*>(call.workspace);
    da = work + plan.da;
    before = work + plan.before;
    rh = work + plan.rh;
    dh_now = work + plan.dh;
    dc_now = work + plan.dc;
    d_rh = work + plan.d_rh;
    zeros = work + plan.zeros;
    clear_run(zeros, this->H);
    packed_u = work + plan.u;
    packed_un = work + plan.un;
    constexpr bool gru = kCell == Cell::gru;
    const int64_t H = this->H, first = gru ? 2 * H : GH;
    pack_transposed(call.pool, Panels<T>{first, H}, this->u, GH, work + plan.u);
    if (gru) pack_transposed(call.pool, Panels<T>{H, H}, this->u + first, GH, work + plan.un);
  }

  CK_INLINE int64_t at(int64_t n, int64_t s) const { return n * this->steps + this->time(s); }

  // The product of gradients, from column `from` of da on, with a packed transpose.
  CK_INLINE void multiply(int64_t n, int64_t rows, int64_t s, int64_t from, int64_t depth,
                          const T* packed, T* to, bool add) const {
    const int64_t H = this->H;
    packed_product_here(Product<T>{rows, H, depth, da + at(n, s) * width + from,
                                   this->steps * width, nullptr, 0, to + n * H, H, nullptr, add},
                        packed);
  }
};

// Goes back through all steps. step(n, rows, s, on) makes da of step s and, if `on`, turns dh and
// dc into gradients of the states before it.
template <Cell kCell, class T, class Step>
void go_back(const Call& call, const Reverse<T, kCell>& p, const Step& step) {
  const int64_t H = p.H;
  const Chunks chunks = sequence_chunks(p.N);
  const auto go_on = [&](int64_t s) { return s > 0 ? !p.cut(s) : p.dh0 != nullptr; };
  call.pool->parallel_for(
      chunks.count(),
      [&](int64_t chunk, int) {
        const int64_t begin = chunks.begin(chunk), end = chunks.end(chunk), rows = end - begin;
        const auto first = [&](const T* gradient, T* to) {
          copy_or_clear(gradient != nullptr ? gradient + begin * H : nullptr, rows * H,
                        to + begin * H);
        };
        first(p.dh, p.dh_now);
        if constexpr (kCell == Cell::lstm) first(p.dc, p.dc_now);
        int64_t real_before[kSequences];  // step s
        for (int64_t& last : real_before) last = p.steps;
        for (int64_t s = p.steps - 1; s >= 0; --s) {
          for (int64_t n = begin; n < end; ++n) {
            int64_t& last = real_before[n - begin];
            if (last >= s) last = p.real_before(n, s);
            // Before a sequence's first step y is 0, whatever its state is.
            if (p.dy != nullptr && (p.real(n, s) || last >= 0)) {
              add_run(p.dy + (n * p.steps + p.place(s)) * H, H, p.dh_now + n * H);
            }
            const T* h = p.h0 != nullptr ? p.h0 + n * H : nullptr;
            if (last >= 0) h = p.y + (n * p.steps + p.place(last)) * H;
            copy_or_clear(h, H, p.before + p.at(n, s) * H);
            if (!p.real(n, s)) clear_run(p.da + p.at(n, s) * p.width, p.width);
          }
          step(begin, rows, s, go_on(s));
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

// Gradient of a weight: the sum over all steps of left [.,M] times columns of da; and the sums of
// those columns. Either may be null.
template <Cell kCell, class T>
void sum_outer(const Call& call, const Reverse<T, kCell>& p, const T* left, int64_t M, int64_t from,
               int64_t columns, T* gradient, T* sums) {
  if (gradient == nullptr && sums == nullptr) return;
  const int64_t rows = gradient != nullptr ? M : 0, terms = p.N * p.steps;
  const T* const da = p.da + from;
  const TransposedProduct<T> product{rows, columns, terms,    left, M,
                                     da,   p.width, gradient, p.GH, sums};
  transposed_product(call.pool, product);
}

// dx, dw and the bias beside x w: from the first GH columns of da.
template <Cell kCell, class T>
void finish_inputs(const Call& call, const Reverse<T, kCell>& p) {
  if (p.dx != nullptr) {
    T* const packed = reinterpret_cast<T*>(call.workspace) + p.plan.w;
    pack_transposed(call.pool, Panels<T>{p.GH, p.C}, p.w, p.GH, packed);
    const Product<T> product{p.N * p.steps, p.C, p.GH, p.da, p.width, nullptr, 0, p.dx, p.C};
    packed_product(call.pool, product, packed);
  }
  sum_outer(call, p, p.x, p.C, 0, p.GH, p.dw, p.db);
}

}  // namespace

void rnn_tiled_simple_forward(const Call& call) {
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  with_operands<Forward, Cell::simple>(call, [&]<class T>(const Forward<T, Cell::simple>& p) {
    const int64_t H = p.H;
    const RnnForwardPlan plan(Cell::simple, call.as<RnnParams>(), p.N, p.steps, p.C, H);
    T* const work = reinterpret_cast<T*>(call.workspace);
    T *const sums = work + plan.sums, *const u = work + plan.u;
    multiply_inputs(call, p, plan, sums, H);
    pack(call.pool, Panels<T>{H, H}, p.u, H, u);
    take_steps(call, p, [&](int64_t begin, int64_t rows, int64_t s) {
      const auto at = [&](int64_t n) { return sums + (n * p.steps + p.time(s)) * H; };
      packed_product_here(Product<T>{rows, H, H, p.h + begin * H, H, nullptr, 0, at(begin),
                                     p.steps * H, nullptr, true},
                          u);
      for (int64_t n = begin; n < begin + rows; ++n) {
        if (p.real(n, s)) simple_forward_row(kind, at(n), H, p.h + n * H);
      }
    });
  });
}

void rnn_tiled_lstm_forward(const Call& call) {
  with_operands<Forward, Cell::lstm>(call, [&]<class T>(const Forward<T, Cell::lstm>& p) {
    const int64_t H = p.H, GH = 4 * H, width = 5 * H;
    const RnnForwardPlan plan(Cell::lstm, call.as<RnnParams>(), p.N, p.steps, p.C, H);
    T* const u = reinterpret_cast<T*>(call.workspace) + plan.u;
    multiply_inputs(call, p, plan, p.saved, width);
    pack(call.pool, Panels<T>{H, GH}, p.u, GH, u);
    take_steps(call, p, [&](int64_t begin, int64_t rows, int64_t s) {
      const auto at = [&](int64_t n) { return p.saved + (n * p.steps + p.time(s)) * width; };
      packed_product_here(Product<T>{rows, GH, H, p.h + begin * H, H, nullptr, 0, at(begin),
                                     p.steps * width, nullptr, true},
                          u);
      for (int64_t n = begin; n < begin + rows; ++n) {
        if (p.real(n, s)) {
          lstm_forward_row(H, at(n), p.h + n * H, p.c + n * H);
        } else {
          clear_run(at(n), width);
        }
      }
    });
  });
}

void rnn_tiled_gru_forward(const Call& call) {
  with_operands<Forward, Cell::gru>(call, [&]<class T>(const Forward<T, Cell::gru>& p) {
    const int64_t H = p.H, GH = 3 * H, width = p.reset_after ? 4 * H : GH;
    const RnnForwardPlan plan(Cell::gru, call.as<RnnParams>(), p.N, p.steps, p.C, H);
    T* const work = reinterpret_cast<T*>(call.workspace);
    T *const u = work + plan.u, *const un = work + plan.un;
    multiply_inputs(call, p, plan, p.saved, width);
    pack(call.pool, Panels<T>{H, 2 * H}, p.u, GH, u);
    pack(call.pool, Panels<T>{H, H}, p.u + 2 * H, GH, un);
    take_steps(call, p, [&](int64_t begin, int64_t rows, int64_t s) {
      const auto at = [&](int64_t n) { return p.saved + (n * p.steps + p.time(s)) * width; };
      const int64_t ld = p.steps * width, end = begin + rows;
      const T* const h = p.h + begin * H;
      packed_product_here(
          Product<T>{rows, 2 * H, H, h, H, nullptr, 0, at(begin), ld, nullptr, true}, u);
      for (int64_t n = begin; n < end; ++n) {
        T* const rh = p.reset_after ? nullptr : work + plan.rh + n * H;
        gru_forward_gates(H, at(n), p.h + n * H, rh);
      }
      if (p.reset_after) {
        const T* const bias = p.b1 != nullptr ? p.b1 + 2 * H : nullptr;
        packed_product_here(
            Product<T>{rows, H, H, h, H, nullptr, 0, at(begin) + 3 * H, ld, bias, false}, un);
      } else {
        packed_product_here(Product<T>{rows, H, H, work + plan.rh + begin * H, H, nullptr, 0,
                                       at(begin) + 2 * H, ld, nullptr, true},
                            un);
      }
      for (int64_t n = begin; n < end; ++n) {
        if (p.real(n, s)) {
          gru_forward_state(H, at(n), p.reset_after ? at(n) + 3 * H : nullptr, p.h + n * H);
        } else {
          clear_run(at(n), width);
        }
      }
    });
  });
}

void rnn_tiled_simple_backward(const Call& call) {
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  with_operands<Reverse, Cell::simple>(call, [&]<class T>(const Reverse<T, Cell::simple>& p) {
    const int64_t H = p.H;
    go_back(call, p, [&](int64_t begin, int64_t rows, int64_t s, bool on) {
      for (int64_t n = begin; n < begin + rows; ++n) {
        if (!p.real(n, s)) continue;
        const T* const y = p.y + (n * p.steps + p.place(s)) * H;
        simple_backward_row(kind, H, y, p.dh_now + n * H, p.da + p.at(n, s) * H);
        clear_run(p.dh_now + n * H, H);
      }
      if (on) p.multiply(begin, rows, s, 0, H, p.packed_u, p.dh_now, true);
    });
    finish_inputs(call, p);
    sum_outer(call, p, p.before, H, 0, H, p.du, p.second_bias());
  });
}

void rnn_tiled_lstm_backward(const Call& call) {
  with_operands<Reverse, Cell::lstm>(call, [&]<class T>(const Reverse<T, Cell::lstm>& p) {
    const int64_t H = p.H;
    go_back(call, p, [&](int64_t begin, int64_t rows, int64_t s, bool on) {
      for (int64_t n = begin; n < begin + rows; ++n) {
        if (!p.real(n, s)) continue;
        const int64_t last = p.real_before(n, s);
        const T* c = p.c0 != nullptr ? p.c0 + n * H : p.zeros;
        if (last >= 0) c = p.saved + p.at(n, last) * 5 * H + 4 * H;
        lstm_backward_row(H, p.saved + p.at(n, s) * 5 * H, c, p.dh_now + n * H, p.dc_now + n * H,
                          p.da + p.at(n, s) * 4 * H);
      }
      if (on) p.multiply(begin, rows, s, 0, 4 * H, p.packed_u, p.dh_now, true);
    });
    finish_inputs(call, p);
    sum_outer(call, p, p.before, H, 0, 4 * H, p.du, p.second_bias());
  });
}

void rnn_tiled_gru_backward(const Call& call) {
  with_operands<Reverse, Cell::gru>(call, [&]<class T>(const Reverse<T, Cell::gru>& p) {
    const int64_t H = p.H;
    const auto saved = [&](int64_t n, int64_t s) { return p.saved + p.at(n, s) * p.width; };
    go_back(call, p, [&](int64_t begin, int64_t rows, int64_t s, bool on) {
      for (int64_t n = begin; n < begin + rows; ++n) {
        if (!p.real(n, s)) continue;
        const T* const h = p.before + p.at(n, s) * H;
        T *const dh = p.dh_now + n * H, *const da = p.da + p.at(n, s) * p.width;
        if (p.reset_after) {
          gru_backward_gates<true>(H, saved(n, s), h, dh, da);
        } else {
          gru_backward_gates<false>(H, saved(n, s), h, dh, da);
        }
      }
      if (p.reset_after) {
        if (on) p.multiply(begin, rows, s, 3 * H, H, p.packed_un, p.dh_now, true);
      } else {
        p.multiply(begin, rows, s, 2 * H, H, p.packed_un, p.d_rh, false);
        for (int64_t n = begin; n < begin + rows; ++n) {
          T* const rh = p.rh + p.at(n, s) * H;
          if (!p.real(n, s)) {
            clear_run(rh, H);
            continue;
          }
          gru_backward_reset(H, saved(n, s), p.before + p.at(n, s) * H, p.d_rh + n * H,
                             p.dh_now + n * H, p.da + p.at(n, s) * p.width, rh);
        }
      }
      if (on) p.multiply(begin, rows, s, 0, 2 * H, p.packed_u, p.dh_now, true);
    });
    finish_inputs(call, p);
    T* const db1 = p.second_bias();
    sum_outer(call, p, p.before, H, 0, 2 * H, p.du, db1);
    sum_outer(call, p, p.reset_after ? p.before : p.rh, H, p.reset_after ? 3 * H : 2 * H, H,
              p.du != nullptr ? p.du + 2 * H : nullptr, db1 != nullptr ? db1 + 2 * H : nullptr);
  });
}

}  // namespace convkit::CK_ISA
