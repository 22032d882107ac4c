// rnn, the obvious loops: one sequence after the other, one step after the other.
#include <limits>

#include "ops/rnn/rnn_formula.h"
#include "ops/rnn/rnn_operands.h"

namespace convkit::CK_ISA {
namespace {

// out[j] += sum_k a[k] m[k,j] for k < K, j < n, with the rows of m ld apart.
template <class T>
void add_product(const T* a, int64_t K, const T* m, int64_t ld, int64_t n, T* out) {
  for (int64_t k = 0; k < K; ++k) {
    for (int64_t j = 0; j < n; ++j) out[j] += a[k] * m[k * ld + j];
  }
}

// out[k] += sum_j a[j] m[k,j].
template <class T>
void add_product_transposed(const T* a, int64_t n, const T* m, int64_t ld, int64_t K, T* out) {
  for (int64_t k = 0; k < K; ++k) {
    T sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += a[j] * m[k * ld + j];
    out[k] += sum;
  }
}

// out[k,j] += a[k] b[j]; nothing if out is null.
template <class T>
void add_outer(const T* a, int64_t K, const T* b, int64_t n, T* out, int64_t ld) {
  for (int64_t k = 0; k < K && out != nullptr; ++k) {
    for (int64_t j = 0; j < n; ++j) out[k * ld + j] += a[k] * b[j];
  }
}

// to[j] = from[j], or 0 if from is null; nothing if to is.
template <class T>
void copy(const T* from, int64_t n, T* to) {
  for (int64_t j = 0; j < n && to != nullptr; ++j) to[j] = from != nullptr ? from[j] : T(0);
}

template <class T>
void add(const T* from, int64_t n, T* to) {
  for (int64_t j = 0; j < n && from != nullptr && to != nullptr; ++j) to[j] += from[j];
}

template <class T>
void clear(T* to, int64_t n) {
  copy<T>(nullptr, n, to);
}

// Row n of a state [N,H], null if that is absent.
template <class T>
T* state_of(T* state, int64_t n, int64_t H) {
  return state != nullptr ? state + n * H : nullptr;
}

// a += x w, with w of n columns.
template <class P, class T>
void add_inputs(const P& p, int64_t at, int64_t n, T* a) {
  if (!p.numbers) return add_product(p.x + at * p.C, p.C, p.w, n, n, a);
  const int64_t row = row_of(p.x[at], p.C);
  for (int64_t j = 0; j < n; ++j) {
    a[j] += row >= 0 ? p.w[row * n + j] : std::numeric_limits<T>::quiet_NaN();
  }
}

// Takes the steps of all sequences: step(at, h, c, saved) changes h and c in place.
template <Cell kCell, class T, class Step>
void take_steps(const Forward<T, kCell>& p, T* h, T* c, int64_t saved_width, const Step& step) {
  const int64_t H = p.H;
  for (int64_t n = 0; n < p.N; ++n) {
    copy(state_of(p.h0, n, H), H, h);
    copy(state_of(p.c0, n, H), H, c);
    bool begun = false;
    for (int64_t s = 0; s < p.steps; ++s) {
      T* const y = p.y + (n * p.steps + p.place(s)) * H;
      const int64_t at = n * p.steps + p.time(s);
      T* const saved = p.saved != nullptr ? p.saved + at * saved_width : nullptr;
      if (p.real(n, s)) {
        step(at, h, c, saved);
        begun = true;
      } else {
        clear(saved, saved_width);
      }
      copy<T>(begun ? h : nullptr, H, y);
    }
    copy(h, H, p.h + n * H);
    copy(c, H, state_of(p.c, n, H));
  }
}

// Goes back through the steps of all sequences. step(at, x, h, c, y, saved, dh, dc), with h and c
// the state before it, turns gradients of the state after it into those of the state before it.
template <Cell kCell, class T, class Step>
void go_back(const Backward<T, kCell>& p, T* dh, T* dc, int64_t saved_width, T* zeros,
             const Step& step) {
  const int64_t H = p.H, GH = gates(kCell) * H;
  clear(zeros, H);
  clear(p.dx, p.N * p.steps * p.C);
  clear(p.dw, p.C * GH);
  clear(p.du, H * GH);
  clear(p.db, p.two_biases ? 2 * GH : GH);
  for (int64_t n = 0; n < p.N; ++n) {
    copy(state_of(p.dh, n, H), H, dh);
    copy(state_of(p.dc, n, H), H, dc);
    int64_t before = p.steps;  // the last real step before s
    for (int64_t s = p.steps - 1; s >= 0; --s) {
      const int64_t at = n * p.steps + p.time(s), out = n * p.steps + p.place(s);
      if (before >= s) before = p.real_before(n, s);
      // Before the first step y is 0, whatever the state is.
      if (p.dy != nullptr && (p.real(n, s) || before >= 0)) add(p.dy + out * H, H, dh);
      if (p.real(n, s)) {
        const T* h = state_of(p.h0, n, H);
        const T* c = state_of(p.c0, n, H);
        if (before >= 0) {
          h = p.y + (n * p.steps + p.place(before)) * H;
          if constexpr (kCell == Cell::lstm) {
            c = p.saved + (n * p.steps + p.time(before)) * saved_width + 4 * H;
          }
        }
        step(at, h != nullptr ? h : zeros, c != nullptr ? c : zeros, p.y + out * H,
             p.saved + at * saved_width);
      }
      if (p.cut(s)) {
        clear(dh, H);
        clear(dc, H);
      }
    }
    copy(dh, H, state_of(p.dh0, n, H));
    copy(dc, H, state_of(p.dc0, n, H));
  }
}

// What the gradient da of the sums with x w adds to dx, dw and db.
template <Cell kCell, class T>
void add_input_gradients(const Backward<T, kCell>& p, int64_t at, const T* da) {
  const int64_t GH = gates(kCell) * p.H;
  add(da, GH, p.db);
  if (p.numbers) {
    const int64_t row = row_of(p.x[at], p.C);
    if (row >= 0 && p.dw != nullptr) add(da, GH, p.dw + row * GH);
    return;
  }
  if (p.dx != nullptr) add_product_transposed(da, GH, p.w, GH, p.C, p.dx + at * p.C);
  add_outer(p.x + at * p.C, p.C, da, GH, p.dw, GH);
}

}  // namespace

void rnn_naive_simple_forward(const Call& call) {
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  with_operands<Forward, Cell::simple>(call, [&]<class T>(const Forward<T, Cell::simple>& p) {
    const int64_t H = p.H;
    T* const h = reinterpret_cast<T*>(call.workspace);
    T* const a = h + H;
    take_steps(p, h, static_cast<T*>(nullptr), 0, [&](int64_t at, T* state, T*, T*) {
      copy(p.b0, H, a);
      add(p.b1, H, a);
      add_inputs(p, at, H, a);
      add_product(state, H, p.u, H, H, a);
      for (int64_t j = 0; j < H; ++j) state[j] = activate(kind, T(0), a[j]);
    });
  });
}

void rnn_naive_lstm_forward(const Call& call) {
  with_operands<Forward, Cell::lstm>(call, [&]<class T>(const Forward<T, Cell::lstm>& p) {
    const int64_t H = p.H, GH = 4 * H;
    T* const states = reinterpret_cast<T*>(call.workspace);
    take_steps(p, states, states + H, 5 * H, [&](int64_t at, T* h, T* c, T* saved) {
      T* const i = saved;
      T *const f = i + H, *const g = f + H, *const o = g + H;
      copy(p.b0, GH, saved);
      add(p.b1, GH, saved);
      add_inputs(p, at, GH, saved);
      add_product(h, H, p.u, GH, GH, saved);
      for (int64_t j = 0; j < H; ++j) {
        T gate[4] = {i[j], f[j], g[j], o[j]};
        h[j] = lstm_unit(gate, c[j]);
        i[j] = gate[0], f[j] = gate[1], g[j] = gate[2], o[j] = gate[3];
        saved[GH + j] = c[j];
      }
    });
  });
}

void rnn_naive_gru_forward(const Call& call) {
  with_operands<Forward, Cell::gru>(call, [&]<class T>(const Forward<T, Cell::gru>& p) {
    const int64_t H = p.H, GH = 3 * H;
    T* const state = reinterpret_cast<T*>(call.workspace);
    T* const rh = state + H;
    T* const unused = nullptr;
    take_steps(p, state, unused, p.reset_after ? 4 * H : GH, [&](int64_t at, T* h, T*, T* saved) {
      T* const z = saved;
      T *const r = z + H, *const n = r + H, *const q = n + H;
      copy(p.b0, GH, saved);
      add(p.b1, 2 * H, saved);
      add_inputs(p, at, GH, saved);
      add_product(h, H, p.u, GH, 2 * H, saved);
      for (int64_t j = 0; j < 2 * H; ++j) saved[j] = logistic(saved[j]);
      if (p.reset_after) {
        copy<T>(p.b1 != nullptr ? p.b1 + 2 * H : nullptr, H, q);
        add_product(h, H, p.u + 2 * H, GH, H, q);
        for (int64_t j = 0; j < H; ++j) n[j] += r[j] * q[j];
      } else {
        for (int64_t j = 0; j < H; ++j) rh[j] = r[j] * h[j];
        add_product(rh, H, p.u + 2 * H, GH, H, n);
      }
      for (int64_t j = 0; j < H; ++j) {
        n[j] = libm::tanh(n[j]);
        h[j] = gru_unit(z[j], n[j], h[j]);
      }
    });
  });
}

void rnn_naive_simple_backward(const Call& call) {
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  with_operands<Backward, Cell::simple>(call, [&]<class T>(const Backward<T, Cell::simple>& p) {
    const int64_t H = p.H;
    T* const dh = reinterpret_cast<T*>(call.workspace);
    T *const da = dh + H, *const zeros = da + H;
    T* const unused = nullptr;
    go_back(p, dh, unused, 0, zeros, [&](int64_t at, const T* h, const T*, const T* y, const T*) {
      for (int64_t j = 0; j < H; ++j) {
        da[j] = dh[j] * activate_derivative_from_output(kind, T(0), y[j]);
      }
      add_input_gradients(p, at, da);
      add_outer(h, H, da, H, p.du, H);
      if (p.two_biases && p.db != nullptr) add(da, H, p.db + H);
      clear(dh, H);
      add_product_transposed(da, H, p.u, H, H, dh);
    });
  });
}

void rnn_naive_lstm_backward(const Call& call) {
  with_operands<Backward, Cell::lstm>(call, [&]<class T>(const Backward<T, Cell::lstm>& p) {
    const int64_t H = p.H, GH = 4 * H;
    T* const dh = reinterpret_cast<T*>(call.workspace);
    T *const dc = dh + H, *const zeros = dc + H, *const da = zeros + H;
    T *const di = da, *const df = di + H, *const dg = df + H, *const d_o = dg + H;
    const auto step = [&](int64_t at, const T* h, const T* c, const T*, const T* saved) {
      for (int64_t j = 0; j < H; ++j) {
        const T unit[5] = {saved[j], saved[H + j], saved[2 * H + j], saved[3 * H + j],
                           saved[4 * H + j]};
        T d[4];
        lstm_unit_backward(unit, c[j], dh[j], dc[j], d);
        di[j] = d[0], df[j] = d[1], dg[j] = d[2], d_o[j] = d[3];
      }
      add_input_gradients(p, at, da);
      add_outer(h, H, da, GH, p.du, GH);
      if (p.two_biases && p.db != nullptr) add(da, GH, p.db + GH);
      clear(dh, H);
      add_product_transposed(da, GH, p.u, GH, H, dh);
    };
    go_back(p, dh, dc, 5 * H, zeros, step);
  });
}

void rnn_naive_gru_backward(const Call& call) {
  with_operands<Backward, Cell::gru>(call, [&]<class T>(const Backward<T, Cell::gru>& p) {
    const int64_t H = p.H, GH = 3 * H;
    T* const dh = reinterpret_cast<T*>(call.workspace);
    T *const zeros = dh + H, *const da = zeros + H;
    T *const dz = da, *const dr = dz + H, *const dn = dr + H;
    T *const dq = dn + H, *const rh = dq + H, *const d_rh = rh + H;
    const T* const un = p.u + 2 * H;
    const auto step = [&](int64_t at, const T* h, const T*, const T*, const T* saved) {
      const T *const z = saved, *const r = z + H, *const n = r + H, *const q = n + H;
      for (int64_t j = 0; j < H; ++j) {
        dh[j] = gru_unit_backward(z[j], n[j], h[j], dh[j], dz[j], dn[j]);
      }
      if (p.reset_after) {
        for (int64_t j = 0; j < H; ++j) {
          dr[j] = gru_reset_backward(r[j], q[j], dn[j]);
          dq[j] = dn[j] * r[j];
        }
        add_product_transposed(dq, H, un, GH, H, dh);
        if (p.du != nullptr) add_outer(h, H, dq, H, p.du + 2 * H, GH);
      } else {
        clear(d_rh, H);
        add_product_transposed(dn, H, un, GH, H, d_rh);
        for (int64_t j = 0; j < H; ++j) {
          rh[j] = r[j] * h[j];
          dr[j] = gru_reset_backward(r[j], h[j], d_rh[j]);
          dh[j] += d_rh[j] * r[j];
        }
        if (p.du != nullptr) add_outer(rh, H, dn, H, p.du + 2 * H, GH);
      }
      add_product_transposed(da, 2 * H, p.u, GH, H, dh);
      add_input_gradients(p, at, da);
      add_outer(h, H, da, 2 * H, p.du, GH);
      if (p.two_biases && p.db != nullptr) {
        add(da, 2 * H, p.db + GH);
        add(dq, H, p.db + GH + 2 * H);
      }
    };
    go_back(p, dh, static_cast<T*>(nullptr), p.reset_after ? 4 * H : GH, zeros, step);
  });
}

}  // namespace convkit::CK_ISA
