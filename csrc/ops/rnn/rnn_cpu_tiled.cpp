// rnn in register tiles. What does not depend on the state is one product over all steps: x w
// before them, dx and the weights' gradients after them; where w is narrow, x w is a part of each
// step instead, which spares its way through memory. The steps are taken by chunks of sequences,
// each chunk through all its steps on one thread, so that no thread waits for another; u is packed
// once and stays in the second-level cache. A tile ends with all gates of a few units, which become
// their new state in the first-level cache. What a step will read is fetched during the one before.
#include "ops/rnn/rnn_backward.h"
#include "ops/rnn/rnn_forward.h"

namespace convkit::CK_ISA {
namespace {

// All gates of a few units at once: finish(step, panel, row, sums) makes their new state of a row.
template <class P, Cell kCell, class T, class Finish>
void take_whole_steps(const Call& call, const Steps<T, kCell>& p, const Finish& finish) {
  const int64_t H = p.H;
  const P w{p.C, H}, u{H, H};
  T* const packed = p.work + p.plan.u;
  p.multiply_inputs(call, w);
  pack(call.pool, u, p.u, gates(kCell) * H, packed);
  take_steps(call, p, [&](const StepOf<T>& step) {
    const Terms<T> terms[2] = {step.state_terms(H, packed), p.input_terms(step.begin, step.s)};
    alignas(kVecBytes) T inputs[kStepRows<T, P::kVectors> * P::kWidth];
    take_step(
        u, step.rows, terms, p.plan.fused ? 2 : 1, step.fetch,
        [&](int64_t panel, int64_t m, int size, Start<T>* starts) {
          p.starts(u, panel, step.begin + m, size, step.s, 0, inputs, starts);
        },
        [&](int64_t panel, int64_t m, int row, T* sums) { finish(step, panel, m + row, sums); });
  });
}

// z, r and q at once, n from x w alone.
template <class T>
void gru_reset_after(const Call& call, const Steps<T, Cell::gru>& p) {
  using P = GatePanels<T, 3, 1>;
  const int64_t H = p.H;
  const P w{p.C, H}, u{H, H};
  T* const packed = p.work + p.plan.u;
  p.multiply_inputs(call, w);
  pack(call.pool, u, p.u, 3 * H, packed);
  take_steps(call, p, [&](const StepOf<T>& step) {
    const Terms<T> states = step.state_terms(H, packed);
    Fetch<T> nothing;
    alignas(kVecBytes) T inputs[kStepRows<T, P::kVectors> * P::kWidth];
    Start<T> n;
    take_step(
        u, step.rows, &states, 1, step.fetch,
        [&](int64_t panel, int64_t m, int size, Start<T>* starts) {
          p.starts(u, panel, step.begin + m, size, step.s, 0, inputs, starts);
          if (p.plan.fused) {
            Terms<T> terms = p.input_terms(step.begin, step.s);
            terms.packed += w.offset(panel);
            step_sums<T, P::kVectors>(starts, &terms, 1, m, size, inputs, nothing);
            for (int v = 0; v < P::kVectors; ++v) {
              starts[v] = {inputs + v * P::kLanes, P::kWidth, P::kLanes};
            }
          }
          n = starts[2];
          starts[2] = {p.bias1 + u.unit(panel, 2), 0, u.lanes(panel, 2)};
        },
        [&](int64_t panel, int64_t m, int row, T* sums) {
          const StepRow<T> of = step_row(p, step, m + row);
          one_vector<T>(H, panel, [&](auto at) {
            if (!of.real) return pass_over<4>(of, at);
            gru_forward(of, at, sums, Vec<T>::load_partial(n.at + row * n.ld, n.lanes));
          });
        });
  });
}

// z and r of all units come first: the product for n is with r h.
template <class T>
void gru_reset_before(const Call& call, const Steps<T, Cell::gru>& p) {
  using P = GatePanels<T, 2, 2>;
  using PN = GatePanels<T, 1, 4>;
  const int64_t H = p.H;
  const P u{H, H};
  const PN un{H, H};
  T *const packed = p.work + p.plan.u, *const packed_n = p.work + p.plan.un;
  p.multiply_inputs(call, u);
  pack(call.pool, u, p.u, 3 * H, packed);
  pack(call.pool, un, p.u + 2 * H, 3 * H, packed_n);
  take_steps(call, p, [&](const StepOf<T>& step) {
    T* const rh = p.work + p.plan.rh + step.begin * H;
    alignas(kVecBytes) T inputs[kStepRows<T, P::kVectors> * P::kWidth];
    alignas(kVecBytes) T inputs_n[kStepRows<T, PN::kVectors> * PN::kWidth];
    const Terms<T> states = step.state_terms(H, packed);
    take_step(
        u, step.rows, &states, 1, step.fetch,
        [&](int64_t panel, int64_t m, int size, Start<T>* starts) {
          p.starts(u, panel, step.begin + m, size, step.s, 0, inputs, starts);
        },
        [&](int64_t panel, int64_t m, int row, T* sums) {
          const StepRow<T> of = step_row(p, step, m + row);
          for (int v = 0; v < 2 && u.lanes(panel, v) > 0; ++v) {
            const T* const z = sums + v * P::kLanes;
            one_vector<T>(H, panel * 2 + v, [&](auto at) {
              gru_forward_gates(of, at, Vec<T>::loadu(z), Vec<T>::loadu(z + 2 * P::kLanes),
                                rh + (m + row) * H);
            });
          }
        });
    const Terms<T> reset = {rh, H, H, packed_n};
    take_step(
        un, step.rows, &reset, 1, Fetch<T>(),
        [&](int64_t panel, int64_t m, int size, Start<T>* starts) {
          p.starts(un, panel, step.begin + m, size, step.s, 2, inputs_n, starts);
        },
        [&](int64_t panel, int64_t m, int row, T* sums) {
          const StepRow<T> of = step_row(p, step, m + row);
          for (int v = 0; v < PN::kVectors && un.lanes(panel, v) > 0; ++v) {
            one_vector<T>(H, panel * PN::kVectors + v, [&](auto at) {
              if (!of.real) return pass_over<3>(of, at);
              gru_forward_state(of, at, Vec<T>::loadu(sums + v * PN::kLanes));
            });
          }
        });
  });
}

}  // namespace

void rnn_tiled_simple_forward(const Call& call) {
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  with_operands<Steps, Cell::simple>(call, [&]<class T>(const Steps<T, Cell::simple>& p) {
    using P = GatePanels<T, 1, 4>;
    const P u{p.H, p.H};
    take_whole_steps<P>(call, p, [&](const StepOf<T>& step, int64_t panel, int64_t row, T* sums) {
      const StepRow<T> of = step_row(p, step, row);
      if (of.real) apply_activation(kind, 0.0, sums, P::kWidth);
      for (int v = 0; v < P::kVectors && u.lanes(panel, v) > 0; ++v) {
        one_vector<T>(p.H, panel * P::kVectors + v, [&](auto at) {
          if (!of.real) return pass_over<0>(of, at);
          step_out(of, at, Vec<T>::loadu(sums + v * P::kLanes));
        });
      }
    });
  });
}

void rnn_tiled_lstm_forward(const Call& call) {
  with_operands<Steps, Cell::lstm>(call, [&]<class T>(const Steps<T, Cell::lstm>& p) {
    using P = GatePanels<T, 4, 1>;
    take_whole_steps<P>(call, p, [&](const StepOf<T>& step, int64_t panel, int64_t row, T* sums) {
      const StepRow<T> of = step_row(p, step, row);
      T* const c = p.c + (step.begin + row) * p.H;
      one_vector<T>(p.H, panel, [&](auto at) {
        if (!of.real) return pass_over<5>(of, at);
        lstm_forward(of, at, sums, c);
      });
    });
  });
}

void rnn_tiled_gru_forward(const Call& call) {
  with_operands<Steps, Cell::gru>(call, [&]<class T>(const Steps<T, Cell::gru>& p) {
    if (p.reset_after) return gru_reset_after(call, p);
    gru_reset_before(call, p);
  });
}

void rnn_tiled_simple_backward(const Call& call) {
  const Activation kind = kRnnActivations[call.as<RnnParams>().activation];
  with_operands<Reverse, Cell::simple>(call, [&]<class T>(const Reverse<T, Cell::simple>& p) {
    const int64_t H = p.H;
    go_back(call, p, [&](const BackOf<T>& step) {
      const int64_t begin = step.begin, s = step.s;
      for (int64_t n = begin; n < begin + step.rows; ++n) {
        if (!p.real(n, s)) continue;
        simple_backward_row(kind, H, p.saved_at(n, s), p.dh_now + n * H, p.da + p.at(n, s) * H);
      }
      if (step.on) p.multiply(begin, step.rows, s, 0, H, p.packed_u, p.dh_now, true, step.fetch);
    });
    input_gradient(call, p);
    weight_gradients(call, p);
  });
}

void rnn_tiled_lstm_backward(const Call& call) {
  with_operands<Reverse, Cell::lstm>(call, [&]<class T>(const Reverse<T, Cell::lstm>& p) {
    const int64_t H = p.H;
    go_back(call, p, [&](const BackOf<T>& step) {
      const int64_t begin = step.begin, s = step.s;
      for (int64_t n = begin; n < begin + step.rows; ++n) {
        if (!p.real(n, s)) continue;
        const int64_t last = step.last[n - begin];
        const T* c = p.c0 != nullptr ? p.c0 + n * H : p.zeros;
        if (last >= 0) c = p.saved_at(n, last) + 4 * H;
        lstm_backward_row(H, p.saved_at(n, s), c, p.dh_now + n * H, p.dc_now + n * H,
                          p.da + p.at(n, s) * 4 * H);
      }
      if (step.on) {
        p.multiply(begin, step.rows, s, 0, 4 * H, p.packed_u, p.dh_now, true, step.fetch);
      }
    });
    input_gradient(call, p);
    weight_gradients(call, p);
  });
}

void rnn_tiled_gru_backward(const Call& call) {
  with_operands<Reverse, Cell::gru>(call, [&]<class T>(const Reverse<T, Cell::gru>& p) {
    const int64_t H = p.H;
    go_back(call, p, [&](const BackOf<T>& step) {
      const int64_t begin = step.begin, rows = step.rows, s = step.s;
      for (int64_t n = begin; n < begin + rows; ++n) {
        if (!p.real(n, s)) continue;
        const T *const h = p.state(n, step.last[n - begin]), *const saved = p.saved_at(n, s);
        T *const dh = p.dh_now + n * H, *const da = p.da + p.at(n, s) * p.width;
        if (p.reset_after) {
          gru_backward_gates<true>(H, saved, h, dh, da);
        } else {
          gru_backward_gates<false>(H, saved, h, dh, da);
        }
      }
      if (p.reset_after) {
        if (step.on) p.multiply(begin, rows, s, 0, 3 * H, p.packed_u, p.dh_now, true, step.fetch);
        return;
      }
      p.multiply(begin, rows, s, 2 * H, H, p.packed_un, p.d_rh, false, Fetch<T>());
      for (int64_t n = begin; n < begin + rows; ++n) {
        T* const rh = p.rh + p.at(n, s) * H;
        if (!p.real(n, s)) {
          clear_run(rh, H);
          continue;
        }
        gru_backward_reset(H, p.saved_at(n, s), p.state(n, step.last[n - begin]), p.d_rh + n * H,
                           p.dh_now + n * H, p.da + p.at(n, s) * p.width, rh);
      }
      if (step.on) p.multiply(begin, rows, s, 0, 2 * H, p.packed_u, p.dh_now, true, step.fetch);
    });
    input_gradient(call, p);
    weight_gradients(call, p);
  });
}

}  // namespace convkit::CK_ISA
