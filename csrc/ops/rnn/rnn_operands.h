// The operands of the passes of rnn by name, and the order of its steps. For kernel sources only.
#pragma once

#include "gemm/table_row.h"
#include "ops/rnn/rnn.h"

namespace convkit::CK_ISA {

// Sizes, and steps in the order in which they are taken.
struct Sequence {
  int64_t N, steps, C, H;  // T steps: T is also the name of a type
  bool numbers;            // of one-hot rows: x is [N,T]
  const uint8_t* mask;     // [N,T], or null
  bool go_backwards, processing_order, reset_after;
  int64_t truncate;

  CK_INLINE Sequence(const RnnParams& p, const Tensor& x, const Tensor& w, const Tensor& u,
                     const Tensor& mask_)
      : N(x.shape[0]),
        steps(x.shape[1]),
        C(w.shape[0]),
        H(u.shape[0]),
        numbers(x.rank == 2),
        mask(mask_.as<const uint8_t>()),
        go_backwards(p.go_backwards != 0),
        processing_order(p.processing_order != 0),
        reset_after(p.reset_after != 0),
        truncate(p.truncate) {}

  // Time of step s, and where its output is in y.
  CK_INLINE int64_t time(int64_t s) const { return go_backwards ? steps - 1 - s : s; }
  CK_INLINE int64_t place(int64_t s) const { return processing_order ? s : time(s); }
  CK_INLINE bool real(int64_t n, int64_t s) const {
    return mask == nullptr || mask[n * steps + time(s)] != 0;
  }
  // The last real step of sequence n before step s, or -1.
  CK_INLINE int64_t real_before(int64_t n, int64_t s) const {
    --s;
    while (s >= 0 && !real(n, s)) --s;
    return s;
  }
  // Whether gradients are cut between step s and the one before it.
  CK_INLINE bool cut(int64_t s) const { return truncate > 0 && s > 0 && s % truncate == 0; }
};

// What forward and backward read alike. b0 stands beside x w, b1 beside h u; either may be null.
template <class T>
struct Weights {
  const T *x, *w, *u, *b0, *b1, *h0, *c0;

  CK_INLINE Weights(const Call& call, int first, bool has_cell)
      : x(call[first].as<const T>()),
        w(call[first + 1].as<const T>()),
        u(call[first + 2].as<const T>()),
        b0(call[first + 3].as<const T>()),
        b1(b0 != nullptr && call[first + 3].rank == 2 ? b0 + call[first + 3].shape[1] : nullptr),
        h0(call[first + 4].as<const T>()),
        c0(has_cell ? call[first + 5].as<const T>() : nullptr) {}
};

template <class T, Cell kCell>
struct Forward : Sequence, Weights<T> {
  static constexpr bool kHasCell = kCell == Cell::lstm;
  static constexpr int kMask = kHasCell ? 6 : 5;
  T *y, *h, *c, *saved;

  CK_INLINE explicit Forward(const Call& call)
      : Sequence(call.as<RnnParams>(), call[0], call[1], call[2], call[kMask]),
        Weights<T>(call, 0, kHasCell),
        y(call[kMask + 1].as<T>()),
        h(call[kMask + 2].as<T>()),
        c(kHasCell ? call[kMask + 3].as<T>() : nullptr),
        saved(kCell == Cell::simple ? nullptr : call[kMask + (kHasCell ? 4 : 3)].as<T>()) {}
};

template <class T, Cell kCell>
struct Backward : Sequence, Weights<T> {
  static constexpr bool kHasCell = kCell == Cell::lstm;
  static constexpr int kX = kHasCell ? 3 : 2;
  static constexpr int kMask = kX + (kHasCell ? 6 : 5);
  static constexpr int kDx = kMask + (kCell == Cell::simple ? 2 : 3);
  const T *dy, *dh, *dc, *y, *saved;
  T *dx, *dw, *du, *db, *dh0, *dc0;
  bool two_biases;

  CK_INLINE explicit Backward(const Call& call)
      : Sequence(call.as<RnnParams>(), call[kX], call[kX + 1], call[kX + 2], call[kMask]),
        Weights<T>(call, kX, kHasCell),
        dy(call[0].as<const T>()),
        dh(call[1].as<const T>()),
        dc(kHasCell ? call[2].as<const T>() : nullptr),
        y(call[kMask + 1].as<const T>()),
        saved(kCell == Cell::simple ? nullptr : call[kMask + 2].as<const T>()),
        dx(call[kDx].as<T>()),
        dw(call[kDx + 1].as<T>()),
        du(call[kDx + 2].as<T>()),
        db(call[kDx + 3].as<T>()),
        dh0(call[kDx + 4].as<T>()),
        dc0(kHasCell ? call[kDx + 5].as<T>() : nullptr),
        two_biases(call[kX + 3].rank == 2) {}

  // The gradient of the bias beside h u, where that has a row of its own.
  CK_INLINE T* second_bias() const {
    return two_biases && db != nullptr ? db + gates(kCell) * this->H : nullptr;
  }
};

// Calls f with the operands of a pass in its dtype, which is that of x.
template <template <class, Cell> class Operands, Cell kCell, class F>
CK_INLINE void with_operands(const Call& call, const F& f) {
  const int x = Operands<float, kCell>::kMask - (kCell == Cell::lstm ? 6 : 5);
  dispatch_float(call[x].dtype, [&]<class T>(T) { f(Operands<T, kCell>(call)); });
}

}  // namespace convkit::CK_ISA
