// The steps of rnn on a GPU: a block takes a few sequences through all of them, whose states it
// keeps in shared memory. The weights are read anew in every step, from the second-level cache.
//
// A step's product has a unit to a thread, with all gates and sequences: neighbouring threads read
// neighbouring columns of u. Of fewer than 256 units several threads share a unit, each with a
// slice of the terms, and their sums are added up in the order of the slices.
#pragma once

#include "ops/rnn/rnn_cuda_products.cuh"
#include "ops/rnn/rnn_formula.h"

namespace convkit::cuda::rnn {

constexpr int kRows = static_cast<int>(kBlockRows);

// How many units a pass of a block over them has: a power of 2.
inline int units_of(int64_t H) {
  int units = 32;
  while (units < 256 && units < H) units *= 2;
  return units;
}

// What the threads of a block are to a step's products: `units` units from `base` on.
struct Lanes {
  int units, unit, slice, slices;
  CK_DEVICE explicit Lanes(int units_)
      : units(units_),
        unit(static_cast<int>(threadIdx.x) % units_),
        slice(static_cast<int>(threadIdx.x) / units_),
        slices(static_cast<int>(kStepThreads) / units_) {}
};

// The slice's part of in [inputs, kRows] times columns base + unit of each of kGates blocks of m,
// `apart` from each other, to parts.
template <int kGates, class T>
CK_DEVICE void partial_sums(const Lanes& lanes, const T* in, int64_t inputs, const T* m, int64_t ld,
                            int64_t apart, int64_t base, int64_t H, T* parts) {
  T sums[kGates][kRows] = {};
  const int64_t unit = base + lanes.unit, each = (inputs + lanes.slices - 1) / lanes.slices;
  const int64_t begin = lanes.slice * each, end = begin + each < inputs ? begin + each : inputs;
  if (unit < H) {
    const T* column = m + begin * ld + unit;
    for (int64_t k = begin; k < end; ++k, column += ld) {
      CK_UNROLL
      for (int g = 0; g < kGates; ++g) {
        const T weight = column[g * apart];
        CK_UNROLL
        for (int r = 0; r < kRows; ++r) sums[g][r] += in[k * kRows + r] * weight;
      }
    }
  }
  CK_UNROLL
  for (int g = 0; g < kGates; ++g) {
    CK_UNROLL
    for (int r = 0; r < kRows; ++r) {
      parts[((lanes.slice * kGates + g) * kRows + r) * lanes.units + lanes.unit] = sums[g][r];
    }
  }
}

// Calls finish(r, unit, sums) for each row and unit of a product, once all its parts are there;
// each is always the same thread's.
template <int kGates, class T, class Finish>
CK_DEVICE void multiply(const Lanes& lanes, int rows, const T* in, int64_t inputs, const T* m,
                        int64_t ld, int64_t apart, int64_t H, T* parts, const Finish& finish) {
  for (int64_t base = 0; base < H; base += lanes.units) {
    partial_sums<kGates>(lanes, in, inputs, m, ld, apart, base, H, parts);
    __syncthreads();
    const int64_t unit = base + lanes.unit;
    for (int r = lanes.slice; r < rows && unit < H; r += lanes.slices) {
      T sums[kGates];
      CK_UNROLL
      for (int g = 0; g < kGates; ++g) {
        sums[g] = T(0);
        for (int slice = 0; slice < lanes.slices; ++slice) {
          sums[g] += parts[((slice * kGates + g) * kRows + r) * lanes.units + lanes.unit];
        }
      }
      finish(r, unit, sums);
    }
    __syncthreads();
  }
}

template <class T, Cell kCell, bool kResetAfter>
struct SimpleForward {
  static constexpr int kThreads = static_cast<int>(kStepThreads);
  static constexpr bool kResetBefore = kCell == Cell::gru && !kResetAfter;
  static constexpr int kGates = static_cast<int>(gates(kCell));
  static constexpr int kSaved =
      kCell == Cell::simple ? 0 : static_cast<int>(saved_blocks(kCell, kResetAfter));

  Forward<T, kCell> p;
  StepSums<T> sums;
  Activation kind;
  int rows, units;  // sequences of a block, units of a pass
  T* states;        // null: they are in shared memory

  // The state after a step that is taken. `extra` is c, or of reset_before r h.
  CK_DEVICE T finish(int64_t at, int64_t unit, T (&sum)[kGates], T h, T& extra) const {
    const int64_t H = p.H;
    const T* const given = sums.at(at);
    T* const saved = p.saved + at * kSaved * H + unit;
    if constexpr (kCell == Cell::simple) return activate(kind, T(0), given[unit] + sum[0]);
    if constexpr (kCell == Cell::lstm) {
      CK_UNROLL
      for (int g = 0; g < 4; ++g) sum[g] += given[g * H + unit];
      h = lstm_unit(sum, extra);
      CK_UNROLL
      for (int g = 0; g < 4; ++g) saved[g * H] = sum[g];
      saved[4 * H] = extra;
    }
    if constexpr (kCell == Cell::gru) {
      const T z = logistic(given[unit] + sum[0]), r = logistic(given[H + unit] + sum[1]);
      const T q = p.b1 != nullptr ? sum[2] + p.b1[2 * H + unit] : sum[2];
      const T n = libm::tanh(given[2 * H + unit] + r * q);
      saved[0] = z, saved[H] = r, saved[2 * H] = n, saved[3 * H] = q;
      h = gru_unit(z, n, h);
    }
    return h;
  }

  CK_DEVICE void operator()() const {
    CK_DYN_SHARED(T, shared);
    const Lanes lanes(units);
    const int64_t H = p.H, HR = H * kRows, first = int64_t{blockIdx.x} * rows;
    const int64_t left = p.N - first;
    const int here = static_cast<int>(left < rows ? left : rows);
    T* h =
        states != nullptr ? states + int64_t{blockIdx.x} * 3 * HR : shared + forward_parts(kCell);
    T *h_after = h + HR, *const extra = h_after + HR;
    for (int64_t i = threadIdx.x; i < HR; i += kThreads) {
      const int64_t r = i % kRows, at = (first + r) * H + i / kRows;
      h[i] = r < here && p.h0 != nullptr ? p.h0[at] : T(0);
      h_after[i] = T(0);
      extra[i] = r < here && p.c0 != nullptr ? p.c0[at] : T(0);
    }
    __syncthreads();
    unsigned begun = 0;
    for (int64_t s = 0; s < p.steps; ++s) {
      unsigned real = 0;
      for (int r = 0; r < here; ++r) real |= (p.real(first + r, s) ? 1u : 0u) << r;
      begun |= real;
      const auto at = [&](int r) { return (first + r) * p.steps + p.time(s); };
      const auto put = [&](int r, int64_t unit, T after) {
        h_after[unit * kRows + r] = after;
        p.y[((first + r) * p.steps + p.place(s)) * H + unit] = begun >> r & 1 ? after : T(0);
      };
      const auto pass_over = [&](int r, int64_t unit) {
        for (int g = 0; g < kSaved; ++g) p.saved[(at(r) * kSaved + g) * H + unit] = T(0);
        put(r, unit, h[unit * kRows + r]);
      };
      if constexpr (kResetBefore) {
        multiply<2>(lanes, here, h, H, p.u, 3 * H, H, H, shared,
                    [&](int r, int64_t unit, const T(&sum)[2]) {
                      if (!(real >> r & 1)) return;
                      const T* const given = sums.at(at(r));
                      T* const saved = p.saved + at(r) * 3 * H + unit;
                      const T z = logistic(given[unit] + sum[0]);
                      const T reset = logistic(given[H + unit] + sum[1]);
                      saved[0] = z, saved[H] = reset;
                      extra[unit * kRows + r] = reset * h[unit * kRows + r];
                    });
        multiply<1>(lanes, here, extra, H, p.u + 2 * H, 3 * H, H, H, shared,
                    [&](int r, int64_t unit, const T(&sum)[1]) {
                      if (!(real >> r & 1)) return pass_over(r, unit);
                      T* const saved = p.saved + at(r) * 3 * H + unit;
                      const T n = libm::tanh(sums.at(at(r))[2 * H + unit] + sum[0]);
                      saved[2 * H] = n;
                      put(r, unit, gru_unit(saved[0], n, h[unit * kRows + r]));
                    });
      } else {
        multiply<kGates>(lanes, here, h, H, p.u, kGates * H, H, H, shared,
                         [&](int r, int64_t unit, T(&sum)[kGates]) {
                           if (!(real >> r & 1)) return pass_over(r, unit);
                           const int64_t i = unit * kRows + r;
                           put(r, unit, finish(at(r), unit, sum, h[i], extra[i]));
                         });
      }
      T* const before = h;
      h = h_after, h_after = before;
    }
    for (int64_t i = threadIdx.x; i < HR; i += kThreads) {
      const int64_t r = i % kRows, at = (first + r) * H + i / kRows;
      if (r < here) p.h[at] = h[i];
      if (r < here && kCell == Cell::lstm) p.c[at] = extra[i];
    }
  }
};

template <class T, Cell kCell, bool kResetAfter>
struct SimpleBackward {
  static constexpr int kThreads = static_cast<int>(kStepThreads);
  static constexpr bool kResetBefore = kCell == Cell::gru && !kResetAfter;
  static constexpr int kGates = static_cast<int>(gates(kCell));
  static constexpr int kSaved =
      kCell == Cell::simple ? 0 : static_cast<int>(saved_blocks(kCell, kResetAfter));

  Backward<T, kCell> p;
  Activation kind;
  int rows, units;
  T *da, *before, *rh;  // of all steps, for the weights' gradients
  const T* u;           // [GH,H] transposed
  T* states;

  // Turns dh into what of it goes past the gates, and dc into that before the step. da of the gates
  // goes to memory, and what u is multiplied with to `in`, `apart` from gate to gate.
  CK_DEVICE void unit_backward(int64_t at, int64_t unit, int64_t out, T h, T c, T& dh, T& dc, T* in,
                               int64_t apart) const {
    const int64_t H = p.H;
    const T* const saved = p.saved + at * kSaved * H + unit;
    if constexpr (kCell == Cell::simple) {
      const T y = p.y[out * H + unit];
      in[0] = da[at * H + unit] = dh * activate_derivative_from_output(kind, T(0), y);
      dh = T(0);
    } else if constexpr (kCell == Cell::lstm) {
      const T values[5] = {saved[0], saved[H], saved[2 * H], saved[3 * H], saved[4 * H]};
      T d[4];
      lstm_unit_backward(values, c, dh, dc, d);
      CK_UNROLL
      for (int g = 0; g < 4; ++g) in[g * apart] = da[(at * 4 + g) * H + unit] = d[g];
      dh = T(0);
    } else {
      const T z = saved[0], r = saved[H], n = saved[2 * H];
      T* const d = da + at * (kResetAfter ? 4 : 3) * H + unit;
      T dz, dn;
      dh = gru_unit_backward(z, n, h, dh, dz, dn);
      in[0] = d[0] = dz;
      in[2 * apart] = d[2 * H] = dn;
      if constexpr (kResetAfter) {
        in[apart] = d[H] = gru_reset_backward(r, saved[3 * H], dn);
        in[2 * apart] = d[3 * H] = dn * r;
      }
    }
  }

  CK_DEVICE void operator()() const {
    CK_DYN_SHARED(int64_t, last);  // real steps before this one
    T* const shared = reinterpret_cast<T*>(last + kRows);
    const Lanes lanes(units);
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t H = p.H, HR = H * kRows, first = int64_t{blockIdx.x} * rows;
    const int64_t left = p.N - first, width = (kCell == Cell::gru && kResetAfter ? 4 : kGates) * H;
    const int here = static_cast<int>(left < rows ? left : rows);
    T* const dh = states != nullptr ? states + int64_t{blockIdx.x} * (2 + kGates) * HR
                                    : shared + backward_parts();
    T *const dc = dh + HR, *const in = dc + HR;
    for (int64_t i = thread; i < HR; i += kThreads) {
      const int64_t r = i % kRows, at = (first + r) * H + i / kRows;
      dh[i] = r < here && p.dh != nullptr ? p.dh[at] : T(0);
      dc[i] = r < here && p.dc != nullptr ? p.dc[at] : T(0);
      CK_UNROLL
      for (int g = 0; g < kGates; ++g) in[g * HR + i] = T(0);
    }
    if (thread < here) last[thread] = p.steps;
    __syncthreads();
    for (int64_t s = p.steps - 1; s >= 0; --s) {
      if (thread < here && last[thread] >= s) last[thread] = p.real_before(first + thread, s);
      __syncthreads();
      const auto at = [&](int r) { return (first + r) * p.steps + p.time(s); };
      const auto state_before = [&](int r, int64_t unit) {
        const int64_t n = first + r;
        if (last[r] >= 0) return p.y[(n * p.steps + p.place(last[r])) * H + unit];
        return p.h0 != nullptr ? p.h0[n * H + unit] : T(0);
      };
      for (int64_t unit = lanes.unit; unit < H; unit += lanes.units) {
        for (int r = lanes.slice; r < here; r += lanes.slices) {
          const int64_t n = first + r, i = unit * kRows + r, out = n * p.steps + p.place(s);
          const bool real = p.real(n, s);
          // Before the first step y is 0, whatever the state is.
          if (p.dy != nullptr && (real || last[r] >= 0)) dh[i] += p.dy[out * H + unit];
          if (real) {
            T c = T(0);
            if constexpr (kCell == Cell::lstm) {
              if (last[r] >= 0) {
                c = p.saved[((n * p.steps + p.time(last[r])) * 5 + 4) * H + unit];
              } else if (p.c0 != nullptr) {
                c = p.c0[n * H + unit];
              }
            }
            const T h = state_before(r, unit);
            before[at(r) * H + unit] = h;
            unit_backward(at(r), unit, out, h, c, dh[i], dc[i], in + i, HR);
          } else {
            before[at(r) * H + unit] = T(0);
            for (int64_t j = unit; j < width; j += H) da[at(r) * width + j] = T(0);
            CK_UNROLL
            for (int g = 0; g < kGates; ++g) in[g * HR + i] = T(0);
          }
        }
      }
      __syncthreads();
      if constexpr (kResetBefore) {
        // From the gradient of r h that of r.
        multiply<1>(lanes, here, in + 2 * HR, H, u + 2 * H * H, H, H, H, shared,
                    [&](int r, int64_t unit, const T(&d)[1]) {
                      const int64_t i = unit * kRows + r;
                      const bool real = p.real(first + r, s);
                      const T reset = p.saved[(at(r) * 3 + 1) * H + unit];
                      const T h = state_before(r, unit);
                      rh[at(r) * H + unit] = real ? reset * h : T(0);
                      if (!real) return;
                      const T dr = gru_reset_backward(reset, h, d[0]);
                      in[HR + i] = da[(at(r) * 3 + 1) * H + unit] = dr;
                      dh[i] += d[0] * reset;
                    });
      }
      const bool cut = p.cut(s);
      multiply<1>(lanes, here, in, (kResetBefore ? 2 : kGates) * H, u, H, H, H, shared,
                  [&](int r, int64_t unit, const T(&d)[1]) {
                    const int64_t i = unit * kRows + r;
                    if (p.real(first + r, s)) dh[i] += d[0];
                    if (cut) dh[i] = dc[i] = T(0);
                  });
    }
    for (int64_t i = thread; i < HR; i += kThreads) {
      const int64_t r = i % kRows, at = (first + r) * H + i / kRows;
      if (r >= here) continue;
      if (p.dh0 != nullptr) p.dh0[at] = dh[i];
      if (kCell == Cell::lstm && p.dc0 != nullptr) p.dc0[at] = dc[i];
    }
  }
};

// u [H,GH] transposed: a row for each gate of each unit, those that a step back multiplies.
template <class T>
struct TransposeWeights {
  const T* u;
  int64_t H, GH;
  T* to;
  CK_DEVICE void operator()(int64_t i) const { to[i] = u[i % H * GH + i / H]; }
};

}  // namespace convkit::cuda::rnn
