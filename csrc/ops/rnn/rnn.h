// rnn: a recurrent layer over whole sequences, one call for all their steps.
//
//   simple (Elman 1990)
//     h' = f(x w + h u + b)
//   lstm (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000)
//     i f g o = x w + h u + b through sigmoid, sigmoid, tanh, sigmoid
//     c' = f c + i g,  h' = o tanh(c')
//   gru (Cho et al. 2014)
//     z r = sigmoid(x w + h u + b),  h' = z h + (1 - z) n
//     n = tanh(x w_n + (r h) u_n + b_n)                        reset_after = 0
//     n = tanh(x w_n + b_n + r q),  q = h u_n + b1_n           reset_after = 1
//
// N sequences of T steps, C features, H units; G = 1, 4, 3 gates, which are column blocks of w, u
// and b in the order above.
//
//   simple_forward   x [N,T,C], w [C,GH], u [H,GH], b?, h0 [N,H]?, mask uint8 [N,T]?
//                    -> y [N,T,H], h [N,H]
//   gru_forward      the same -> y, h, saved
//   lstm_forward     the same with c0 [N,H]? after h0 -> y, h, c [N,H], saved
//   simple_backward  dy [N,T,H]?, dh [N,H]?, x, w, u, b?, h0?, mask?, y
//                    -> dx?, dw?, du?, db?, dh0?
//   gru_backward     dy?, dh?, x, w, u, b?, h0?, mask?, y, saved -> the same
//   lstm_backward    dy?, dh?, dc [N,H]?, x, w, u, b?, h0?, c0?, mask?, y, saved
//                    -> dx?, dw?, du?, db?, dh0?, dc0?
//
// x may also be [N,T], numbers of one-hot rows: x w is then a row of w, and there is no dx. Where
// it is negative, C or more, or no whole number, y is NaN, and dw passes over it.
//
// b is [GH], or [2,GH]: row 0 beside x w, row 1 beside h u. The two are added, except in a GRU with
// reset_after, which takes b as [2,GH] only. An absent h0 or c0 is zeros.
//
// A step is where mask is not 0. At the other times the state stays as it is and y repeats the
// output before, which is zeros until the first step of a sequence, whatever h0 is (as in Keras).
// There saved and dx are 0.
//
// saved, by the time of the input: lstm [N,T,5H] = i f g o c'; gru [N,T,4H] = z r n q with
// reset_after, [N,T,3H] = z r n without.
//
// Backward is backpropagation through time (Werbos 1990). With truncate = k > 0 nothing flows back
// from step m k to step m k - 1, steps counted in the order in which they are taken, masked ones
// among them (Williams & Peng 1990 with k' = k).
#pragma once

#include "core/kernel.h"
#include "ops/activation/activation.h"

namespace convkit {

enum class Cell { simple, lstm, gru };

CK_INLINE constexpr int64_t gates(Cell cell) {
  return cell == Cell::simple ? 1 : cell == Cell::lstm ? 4 : 3;
}

constexpr const char* kRnnActivationNames[] = {"tanh", "sigmoid", "relu", "linear"};
constexpr Activation kRnnActivations[] = {Activation::tanh, Activation::sigmoid, Activation::relu,
                                          Activation::linear};

struct RnnParams {
  int64_t activation;        // of simple: an index of kRnnActivations; lstm and gru ignore it
  int64_t go_backwards;      // 1: the steps are taken from time T-1 to 0
  int64_t processing_order;  // 1: y[:,s] is the output of the s-th step taken; 0: of time s
  int64_t reset_after;       // of gru
  int64_t truncate;          // steps that gradients flow back through; 0: all
};

CK_DECLARE_KERNEL(rnn_naive_simple_forward)
CK_DECLARE_KERNEL(rnn_naive_simple_backward)
CK_DECLARE_KERNEL(rnn_naive_lstm_forward)
CK_DECLARE_KERNEL(rnn_naive_lstm_backward)
CK_DECLARE_KERNEL(rnn_naive_gru_forward)
CK_DECLARE_KERNEL(rnn_naive_gru_backward)
CK_DECLARE_KERNEL(rnn_tiled_simple_forward)
CK_DECLARE_KERNEL(rnn_tiled_simple_backward)
CK_DECLARE_KERNEL(rnn_tiled_lstm_forward)
CK_DECLARE_KERNEL(rnn_tiled_lstm_backward)
CK_DECLARE_KERNEL(rnn_tiled_gru_forward)
CK_DECLARE_KERNEL(rnn_tiled_gru_backward)

}  // namespace convkit
