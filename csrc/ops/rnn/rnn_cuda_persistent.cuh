// The steps of rnn on a GPU with the weights on chip: a block reads u once, into registers and,
// what they don't hold, shared memory, and takes its sequences through all steps (Diamos et al.
// 2016, "Persistent RNNs", for sequences that are spread over blocks instead of units).
//
// A step's product has kOut results to a group of lanes, each of which has a slice of the terms;
// they exchange their sums by shuffles. Then each lane of the group finishes one unit of one
// sequence, whose state it keeps in registers. So a step needs one barrier.
#pragma once

#include "cuda/reduce.cuh"
#include "ops/rnn/rnn_cuda_products.cuh"
#include "ops/rnn/rnn_formula.h"

namespace convkit::cuda::rnn {

CK_DEVICE float quarter(const float4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// A thread's part of a matrix [kInputs, .]: every kSlices-th run of four inputs, for kOut outputs.
// The first kHeld of its inputs are in registers, the others in shared memory.
template <int kInputs, int kOut, int kSlices, int kHeld_>
struct HeldWeights {
  static constexpr int kEach = kInputs / kSlices, kHeld = kHeld_ < kEach ? kHeld_ : kEach;
  static constexpr int kThreads = static_cast<int>(kStepThreads);
  static constexpr int kSharedBytes = (kEach - kHeld) * kThreads * 16;
  static_assert(kEach % 4 == 0 && kHeld % 4 == 0 && (kOut == 4 || kHeld == kEach));

  float held[kHeld][kOut];
  float4* rest;
  int slice;

  // weight(input, output).
  template <class Weight>
  CK_DEVICE void load(int slice_, float4* shared, const Weight& weight) {
    slice = slice_, rest = shared + threadIdx.x;
    CK_UNROLL
    for (int i = 0; i < kHeld; ++i) {
      CK_UNROLL
      for (int o = 0; o < kOut; ++o) held[i][o] = weight(input(i), o);
    }
    for (int i = kHeld; i < kEach; ++i) {
      if constexpr (kOut == 4) {
        const int k = input(i);
        rest[(i - kHeld) * kThreads] = {weight(k, 0), weight(k, 1), weight(k, 2), weight(k, 3)};
      }
    }
  }

  // The sums over the group's inputs [kBegin, kEnd) of outputs [kFirst, kLast), the same in each of
  // its lanes: a thread's terms in their order, then those of the lanes as a tree.
  template <int kBegin, int kEnd, int kFirst, int kLast>
  CK_DEVICE void multiply(const float* in, float (&sums)[kLast - kFirst]) const {
    CK_UNROLL
    for (int o = 0; o < kLast - kFirst; ++o) sums[o] = 0;
    constexpr int kFrom = kBegin / kSlices, kTo = kEnd / kSlices;
    CK_UNROLL
    for (int i = kFrom; i < (kTo < kHeld ? kTo : kHeld); i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(in + input(i));
      CK_UNROLL
      for (int k = 0; k < 4; ++k) {
        CK_UNROLL
        for (int o = kFirst; o < kLast; ++o) sums[o - kFirst] += held[i + k][o] * quarter(four, k);
      }
    }
    CK_ROLLED
    for (int i = kHeld; i < kTo; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(in + input(i));
      CK_UNROLL
      for (int k = 0; k < 4; ++k) {
        const float4 weights = rest[(i + k - kHeld) * kThreads];
        CK_UNROLL
        for (int o = kFirst; o < kLast; ++o)
          sums[o - kFirst] += quarter(weights, o) * quarter(four, k);
      }
    }
    CK_UNROLL
    for (int o = 0; o < kLast - kFirst; ++o) sums[o] = warp_sum<kSlices>(sums[o]);
  }

 private:
  CK_DEVICE int input(int i) const { return 4 * (kSlices * (i / 4) + slice) + i % 4; }
};

// kUnits is H or more. A group has the gates of one unit or, of the simple cell, four units.
template <Cell kCell, bool kResetAfter, int kUnits>
struct PersistentForward {
  static constexpr int kThreads = static_cast<int>(kStepThreads);
  static constexpr bool kResetBefore = kCell == Cell::gru && !kResetAfter;
  static constexpr int kGates = static_cast<int>(gates(kCell));
  static constexpr int kSaved =
      kCell == Cell::simple ? 0 : static_cast<int>(saved_blocks(kCell, kResetAfter));
  static constexpr int kOut = kCell == Cell::gru ? 3 : 4;
  static constexpr int kGroupUnits = kCell == Cell::simple ? 4 : 1;
  static constexpr int kSlices = kThreads * kGroupUnits / kUnits;
  static constexpr int kMostRows = kSlices / kGroupUnits;  // a unit of a row to each lane
  using Weights = HeldWeights<kUnits, kOut, kSlices, kCell == Cell::gru ? 64 : 48>;
  static constexpr int kStates = kResetBefore ? 3 : 2;  // before and after; r h
  static constexpr std::size_t shared_bytes(int rows) {
    return Weights::kSharedBytes + static_cast<std::size_t>(kStates * rows * kUnits) * 4;
  }

  Forward<float, kCell> p;
  StepSums<float> sums;
  Activation kind;
  int rows;  // sequences of a block

  CK_DEVICE void operator()() const {
    CK_DYN_SHARED(float4, shared);
    const int slice = static_cast<int>(threadIdx.x) % kSlices;
    const int group = static_cast<int>(threadIdx.x) / kSlices;
    const int H = static_cast<int>(p.H), GH = kGates * H;
    Weights u;
    u.load(slice, shared, [&](int k, int o) {
      const int unit = kGroupUnits == 4 ? 4 * group + o : group;
      return k < H && unit < H ? p.u[k * GH + (kGroupUnits == 4 ? unit : o * H + unit)] : 0.0f;
    });
    float* h = reinterpret_cast<float*>(shared) + Weights::kSharedBytes / 4;
    float *h_after = h + rows * kUnits, *const rh = h_after + rows * kUnits;
    for (int i = static_cast<int>(threadIdx.x); i < kStates * rows * kUnits; i += kThreads)
      h[i] = 0;
    __syncthreads();

    // What this lane finishes.
    const int row = slice / kGroupUnits, unit = group * kGroupUnits + slice % kGroupUnits;
    const int n = static_cast<int>(blockIdx.x) * rows + row;
    const bool mine = row < rows && n < p.N && unit < H;
    const int here = row * kUnits + unit;
    float state = mine && p.h0 != nullptr ? p.h0[n * p.H + unit] : 0.0f;
    float c = mine && p.c0 != nullptr ? p.c0[n * p.H + unit] : 0.0f;
    float bias = 0;
    if constexpr (kCell == Cell::gru && kResetAfter) {
      if (mine && p.b1 != nullptr) bias = p.b1[2 * H + unit];
    }
    if (mine) h[here] = state;
    bool begun = false;
    __syncthreads();

    const int steps = static_cast<int>(p.steps);
    for (int s = 0; s < steps; ++s) {
      bool real = false;
      float sum[kGates] = {};
      if (mine) {
        real = p.real(n, s);
        const float* const given = sums.at(n * p.steps + p.time(s));
        CK_UNROLL
        for (int g = 0; g < kGates; ++g) sum[g] = given[g * H + unit];
      }
      const auto saved = [&](int g) -> float& {
        return p.saved[((n * p.steps + p.time(s)) * kSaved + g) * H + unit];
      };
      if constexpr (kCell == Cell::simple) {
        CK_ROLLED
        for (int r = 0; r < rows; ++r) {
          float of_row[4];
          u.template multiply<0, kUnits, 0, 4>(h + r * kUnits, of_row);
          if (r != row) continue;
          CK_UNROLL
          for (int k = 0; k < 4; ++k) sum[0] += k == slice % 4 ? of_row[k] : 0.0f;
        }
        if (real) state = activate(kind, 0.0f, sum[0]);
      } else if constexpr (kCell == Cell::lstm) {
        CK_ROLLED
        for (int r = 0; r < rows; ++r) {
          float of_row[4];
          u.template multiply<0, kUnits, 0, 4>(h + r * kUnits, of_row);
          CK_UNROLL
          for (int g = 0; g < 4; ++g) sum[g] += r == row ? of_row[g] : 0.0f;
        }
        if (real) {
          state = lstm_unit(sum, c);
          CK_UNROLL
          for (int g = 0; g < 4; ++g) saved(g) = sum[g];
          saved(4) = c;
        }
      } else if constexpr (kResetAfter) {
        float q = bias;
        CK_ROLLED
        for (int r = 0; r < rows; ++r) {
          float of_row[3];
          u.template multiply<0, kUnits, 0, 3>(h + r * kUnits, of_row);
          sum[0] += r == row ? of_row[0] : 0.0f;
          sum[1] += r == row ? of_row[1] : 0.0f;
          q += r == row ? of_row[2] : 0.0f;
        }
        if (real) {
          const float z = logistic(sum[0]), reset = logistic(sum[1]);
          const float candidate = libm::tanh(sum[2] + reset * q);
          saved(0) = z, saved(1) = reset, saved(2) = candidate, saved(3) = q;
          state = gru_unit(z, candidate, state);
        }
      } else {
        CK_ROLLED
        for (int r = 0; r < rows; ++r) {
          float of_row[2];
          u.template multiply<0, kUnits, 0, 2>(h + r * kUnits, of_row);
          sum[0] += r == row ? of_row[0] : 0.0f;
          sum[1] += r == row ? of_row[1] : 0.0f;
        }
        const float z = logistic(sum[0]), reset = logistic(sum[1]);
        if (mine) rh[here] = reset * state;
        __syncthreads();
        CK_ROLLED
        for (int r = 0; r < rows; ++r) {
          float of_row[1];
          u.template multiply<0, kUnits, 2, 3>(rh + r * kUnits, of_row);
          sum[2] += r == row ? of_row[0] : 0.0f;
        }
        if (real) {
          const float candidate = libm::tanh(sum[2]);
          saved(0) = z, saved(1) = reset, saved(2) = candidate;
          state = gru_unit(z, candidate, state);
        }
      }
      begun |= real;
      if (mine) {
        if (!real) {
          CK_UNROLL
          for (int g = 0; g < kSaved; ++g) saved(g) = 0;
        }
        h_after[here] = state;
        p.y[(n * p.steps + p.place(s)) * H + unit] = begun ? state : 0.0f;
      }
      __syncthreads();
      float* const before = h;
      h = h_after, h_after = before;
    }
    if (!mine) return;
    p.h[n * p.H + unit] = state;
    if (kCell == Cell::lstm) p.c[n * p.H + unit] = c;
  }
};

// A group has the gradients of four units of the states; its inputs are those of all gates' sums.
template <Cell kCell, bool kResetAfter, int kUnits>
struct PersistentBackward {
  static constexpr int kThreads = static_cast<int>(kStepThreads);
  static constexpr bool kResetBefore = kCell == Cell::gru && !kResetAfter;
  static constexpr int kGates = static_cast<int>(gates(kCell));
  static constexpr int kSaved =
      kCell == Cell::simple ? 0 : static_cast<int>(saved_blocks(kCell, kResetAfter));
  static constexpr int kSlices = kThreads * 4 / kUnits, kInputs = kGates * kUnits;
  static constexpr int kMostRows = kSlices / 4;
  static constexpr int kWidth = kCell == Cell::gru && kResetAfter ? 4 : kGates;  // of da
  using Weights = HeldWeights<kInputs, 4, kSlices, 48>;
  static constexpr std::size_t shared_bytes(int rows) {
    return Weights::kSharedBytes + static_cast<std::size_t>(2 * rows * kInputs) * 4;
  }

  Backward<float, kCell> p;
  Activation kind;
  int rows;
  float *da, *before, *rh;  // of all steps, for the weights' gradients

  // What a step reads, one step ahead.
  struct Given {
    bool real, reached;  // the step is taken; y is not 0 for want of a step before
    float dy, h, c;      // the states before
    float saved[kSaved > 0 ? kSaved : 1];
  };
  CK_DEVICE Given read(int64_t n, int unit, int s, int& last, bool mine) const {
    Given given = {};
    if (!mine || s < 0) return given;
    const int64_t H = p.H;
    if (last >= s) last = static_cast<int>(p.real_before(n, s));
    given.real = p.real(n, s);
    // Before the first step y is 0, whatever the state is.
    given.reached = given.real || last >= 0;
    const int64_t out = (n * p.steps + p.place(s)) * H + unit;
    if (p.dy != nullptr && given.reached) given.dy = p.dy[out];
    if (!given.real) return given;
    if (last >= 0) {
      given.h = p.y[(n * p.steps + p.place(last)) * H + unit];
      if constexpr (kCell == Cell::lstm) {
        given.c = p.saved[((n * p.steps + p.time(last)) * 5 + 4) * H + unit];
      }
    } else {
      if (p.h0 != nullptr) given.h = p.h0[n * p.H + unit];
      if (kCell == Cell::lstm && p.c0 != nullptr) given.c = p.c0[n * p.H + unit];
    }
    if constexpr (kCell == Cell::simple) {
      given.saved[0] = p.y[out];
    } else {
      CK_UNROLL
      for (int g = 0; g < kSaved; ++g) {
        given.saved[g] = p.saved[((n * p.steps + p.time(s)) * kSaved + g) * H + unit];
      }
    }
    return given;
  }

  CK_DEVICE void operator()() const {
    CK_DYN_SHARED(float4, shared);
    const int slice = static_cast<int>(threadIdx.x) % kSlices;
    const int group = static_cast<int>(threadIdx.x) / kSlices;
    const int H = static_cast<int>(p.H), GH = kGates * H;
    Weights u;
    u.load(slice, shared, [&](int k, int o) {
      const int unit = 4 * group + o, of = k % kUnits;
      return unit < H && of < H ? p.u[unit * GH + k / kUnits * H + of] : 0.0f;
    });
    float* in = reinterpret_cast<float*>(shared) + Weights::kSharedBytes / 4;
    float* in_after = in + rows * kInputs;
    for (int i = static_cast<int>(threadIdx.x); i < 2 * rows * kInputs; i += kThreads) in[i] = 0;
    __syncthreads();

    const int row = slice / 4, unit = 4 * group + slice % 4;
    const int64_t n = int64_t{blockIdx.x} * rows + row;
    const bool mine = row < rows && n < p.N && unit < H;
    float dh = mine && p.dh != nullptr ? p.dh[n * H + unit] : 0.0f;
    float dc = mine && p.dc != nullptr ? p.dc[n * H + unit] : 0.0f;
    int last = static_cast<int>(p.steps);  // the last step that is taken before this one
    const int last_step = last - 1;
    Given next = read(n, unit, last_step, last, mine);

    // Of the sums of a row's product those of this lane.
    const auto own = [&](int r, const float (&of_row)[4]) {
      float sum = 0;
      CK_UNROLL
      for (int k = 0; k < 4; ++k) sum = r == row && k == slice % 4 ? of_row[k] : sum;
      return sum;
    };
    for (int s = last_step; s >= 0; --s) {
      const Given given = next;
      const int64_t at = n * p.steps + p.time(s);
      float d[kWidth] = {};
      dh += given.dy;
      float past = dh;  // what of it goes past the gates
      if (given.real) {
        if constexpr (kCell == Cell::simple) {
          d[0] = dh * activate_derivative_from_output(kind, 0.0f, given.saved[0]);
          past = 0;
        } else if constexpr (kCell == Cell::lstm) {
          lstm_unit_backward(given.saved, given.c, dh, dc, d);
          past = 0;
        } else {
          past = gru_unit_backward(given.saved[0], given.saved[2], given.h, dh, d[0], d[2]);
          if constexpr (kResetAfter) {
            d[1] = gru_reset_backward(given.saved[1], given.saved[3], d[2]);
            d[3] = d[2] * given.saved[1];
          }
        }
      }
      float* const mine_in = in + row * kInputs + unit;
      if (mine) {
        CK_UNROLL
        for (int g = 0; g < kGates; ++g) {
          mine_in[g * kUnits] = d[kCell == Cell::gru && kResetAfter && g == 2 ? 3 : g];
        }
        before[at * H + unit] = given.h;
      }
      __syncthreads();
      next = read(n, unit, s - 1, last, mine);
      if constexpr (kResetBefore) {
        float d_rh = 0;
        CK_ROLLED
        for (int r = 0; r < rows; ++r) {
          float of_row[4];
          u.template multiply<2 * kUnits, 3 * kUnits, 0, 4>(in + r * kInputs, of_row);
          d_rh += own(r, of_row);
        }
        d[1] = given.real ? gru_reset_backward(given.saved[1], given.h, d_rh) : 0.0f;
        if (mine) {
          mine_in[kUnits] = d[1];
          rh[at * H + unit] = given.saved[1] * given.h;
        }
        past += given.saved[1] * d_rh;
        __syncthreads();
      }
      if (mine) {
        CK_UNROLL
        for (int g = 0; g < kWidth; ++g) da[(at * kWidth + g) * H + unit] = d[g];
      }
      float sum = 0;
      CK_ROLLED
      for (int r = 0; r < rows; ++r) {
        float of_row[4];
        u.template multiply<0, kResetBefore ? 2 * kUnits : kInputs, 0, 4>(in + r * kInputs, of_row);
        sum += own(r, of_row);
      }
      dh = given.real ? past + sum : dh;
      if (p.cut(s)) dh = dc = 0;
      float* const used = in;
      in = in_after, in_after = used;
    }
    if (!mine) return;
    if (p.dh0 != nullptr) p.dh0[n * H + unit] = dh;
    if (kCell == Cell::lstm && p.dc0 != nullptr) p.dc0[n * H + unit] = dc;
  }
};

}  // namespace convkit::cuda::rnn
