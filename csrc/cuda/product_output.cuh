// What becomes of the sums of a matrix product: bias and activation, or the derivative of the
// activation that gave a layer's input.
#pragma once

#include "core/kernel.h"
#include "cuda/launch.cuh"
#include "ops/activation/activation_formula.h"

namespace convkit::cuda {

// C, whose rows are `pitch` long: those of the product for each group of a convolution side by
// side. Members that a pass has no use for are 0.
struct ProductOutput {
  float* c = nullptr;
  const float* bias = nullptr;  // added to every row
  const float* x = nullptr;     // as C: what `through` gave
  float* last_row = nullptr;    // where the row behind those of C goes, a sum over a column of B
  float* parts = nullptr;       // as C with that row, for each part of the terms
  int rows = 0, columns = 0;    // of a group; rows with the one that is not in C
  int rows_of_c = 0;
  int64_t pitch = 0;
  Activation activation = Activation::linear, through = Activation::linear;
  float alpha = 0, through_alpha = 0;
  bool by_four = false;  // four numbers of a row can be written at a time

  // Whether what store() does is short enough to be written out for each number.
  CK_DEVICE bool cheap() const { return cheap(activation) && cheap(through); }
  CK_DEVICE static bool cheap(Activation kind) {
    return kind == Activation::linear || kind == Activation::relu;
  }

  // A sum as it is to be written.
  template <bool kCheap>
  CK_DEVICE float finished(float sum, int64_t at, int64_t column) const {
    if (bias != nullptr) sum += bias[column];
    if constexpr (kCheap) {
      if (activation == Activation::relu) sum = activate(Activation::relu, 0.0f, sum);
      if (through == Activation::relu)
        sum *= activate_derivative_from_output(Activation::relu, 0.0f, x[at]);
    } else {
      sum = activate(activation, alpha, sum);
      if (through != Activation::linear)
        sum *= activate_derivative_from_output(through, through_alpha, x[at]);
    }
    return sum;
  }

  // Four sums of a row, from a column of the group on.
  template <bool kCheap>
  CK_DEVICE void store(int row, int column, int group, float4 v) const {
    if (row >= rows || column >= columns) return;
    const int64_t first = int64_t{group} * columns + column, at = row * pitch + first;
    const bool in_c = row < rows_of_c;
    if (in_c) {
      v.x = finished<kCheap>(v.x, at, first);
      if (column + 1 < columns) v.y = finished<kCheap>(v.y, at + 1, first + 1);
      if (column + 2 < columns) v.z = finished<kCheap>(v.z, at + 2, first + 2);
      if (column + 3 < columns) v.w = finished<kCheap>(v.w, at + 3, first + 3);
    } else if (last_row == nullptr) {
      return;
    }
    write(in_c ? c + at : last_row + first, column, v);
  }
  CK_DEVICE void store_part(int row, int column, int group, int split, const float4& v) const {
    if (row >= rows || column >= columns) return;
    write(parts + (int64_t{split} * rows + row) * pitch + int64_t{group} * columns + column, column,
          v);
  }

  // The sum of all parts, for AddParts.
  CK_DEVICE void operator()(int64_t i, float sum) const {
    const int64_t in_c = rows_of_c * pitch;
    if (i < in_c)
      c[i] = finished<false>(sum, i, i % pitch);
    else if (last_row != nullptr)
      last_row[i - in_c] = sum;
  }

 private:
  CK_DEVICE void write(float* to, int column, const float4& v) const {
    if (by_four) {
      *reinterpret_cast<float4*>(to) = v;
      return;
    }
    to[0] = v.x;
    if (column + 1 < columns) to[1] = v.y;
    if (column + 2 < columns) to[2] = v.z;
    if (column + 3 < columns) to[3] = v.w;
  }
};

}  // namespace convkit::cuda
