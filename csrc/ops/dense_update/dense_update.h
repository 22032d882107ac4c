// dense_update: the gradient of a dense layer's weights and the optimiser's step in one, so that
// the gradient need not be kept: dw = x^T dy, then a rule of update (ops/update/update.h) with dw
// for g. Leading axes are rows (R of them).
//
//   sgd       dy [...,K], x [...,C], v [C,K] or absent, w [C,K]
//   adagrad   dy, x, a, w
//   adadelta  dy, x, a, d, w
//   rmsprop   dy, x, a, mean or absent, v or absent, w
//   adam      dy, x, m, v, largest or absent, w
//   nadam     dy, x, m, v, w
//   adamax    dy, x, m, u, w
//   lion      dy, x, m, w
//
// State and w, all [C,K], are changed in place. dy is the gradient before the activation. With
// R = 0 the gradient is 0, and the rule takes its step all the same.
#pragma once

#include "core/kernel.h"
#include "ops/update/update.h"

namespace convkit {

using DenseUpdateParams = UpdateParams;

// How the tiled kernel cuts dw: some rows of a chunk's columns, in scratch memory of its thread.
// Runs of 4 KB are what the memory's prefetchers and pages like. With few samples the weights are
// all that takes time, and the runs are longer; with many, more rows share a column of dy.
struct DenseUpdatePlan {
  Chunks rows, columns;
  int64_t scratch;  // values

  CK_INLINE DenseUpdatePlan(int64_t R, int64_t C, int64_t K, int64_t value_bytes)
      : rows{C, 1}, columns{K, (R <= 16 ? 16384 : 4096) / value_bytes} {
    constexpr int64_t most_rows = 48, most_bytes = most_rows * 4096;
    const int64_t widest = K < columns.size ? K : columns.size;
    const int64_t fit = most_bytes / (widest > 0 ? widest * value_bytes : 1);
    rows = balanced_chunks(C, fit >= 2 * most_rows ? 2 * most_rows
                              : fit < most_rows    ? fit
                                                   : most_rows);
    scratch = round_up((C < rows.size ? C : rows.size) * widest, 64);
  }
  CK_INLINE int64_t count() const { return rows.count() * columns.count(); }
  // Chunks in work at a time.
  CK_INLINE int64_t slots() const { return count() < 64 ? count() : 64; }
};

CK_DECLARE_KERNEL(dense_update_naive_sgd)
CK_DECLARE_KERNEL(dense_update_naive_adagrad)
CK_DECLARE_KERNEL(dense_update_naive_adadelta)
CK_DECLARE_KERNEL(dense_update_naive_rmsprop)
CK_DECLARE_KERNEL(dense_update_naive_adam)
CK_DECLARE_KERNEL(dense_update_naive_nadam)
CK_DECLARE_KERNEL(dense_update_naive_adamax)
CK_DECLARE_KERNEL(dense_update_naive_lion)
CK_DECLARE_KERNEL(dense_update_tiled_sgd)
CK_DECLARE_KERNEL(dense_update_tiled_adagrad)
CK_DECLARE_KERNEL(dense_update_tiled_adadelta)
CK_DECLARE_KERNEL(dense_update_tiled_rmsprop)
CK_DECLARE_KERNEL(dense_update_tiled_adam)
CK_DECLARE_KERNEL(dense_update_tiled_nadam)
CK_DECLARE_KERNEL(dense_update_tiled_adamax)
CK_DECLARE_KERNEL(dense_update_tiled_lion)

}  // namespace convkit
