// Loaders of matrices that lie in memory row by row, for cuda/gemm.cuh.
#pragma once

#include "cuda/product_plan.cuh"

namespace convkit::cuda {

CK_DEVICE void set_part(float4& v, int i, float value) {
  if (i == 0) v.x = value;
  if (i == 1) v.y = value;
  if (i == 2) v.z = value;
  if (i == 3) v.w = value;
}
CK_DEVICE float4 zeros() { return make_float4(0, 0, 0, 0); }
CK_DEVICE float4 four_at(const float* p) { return *reinterpret_cast<const float4*>(p); }

// A row in memory is a row of A, or a column of B.
struct RowsAlongTerms {
  static constexpr bool kAlongTerms = true;
  const float* data;
  int64_t pitch;
  int count;
  bool by_four;

  RowsAlongTerms(const float* p, int64_t rows, int64_t terms)
      : data(p),
        pitch(terms),
        count(static_cast<int>(rows)),
        by_four(terms % 4 == 0 && aligned(p)) {}

  struct Line {
    const float* row;
  };
  CK_DEVICE Line line(int x, int /*group*/) const {
    return {x < count ? data + x * pitch : nullptr};
  }
  CK_DEVICE float4 load(const Line& line, int term, int end) const {
    float4 v = zeros();
    if (line.row == nullptr || term >= end) return v;
    const float* const p = line.row + term;
    if (by_four) return four_at(p);
    v.x = p[0];
    if (term + 1 < end) v.y = p[1];
    if (term + 2 < end) v.z = p[2];
    if (term + 3 < end) v.w = p[3];
    return v;
  }
};

// A row in memory has the numbers of a term, those of one group behind those of another; kFours:
// four of them are sure to lie together. With kOnes, a column of ones follows: with it, the product
// has the sums of the other matrix.
template <bool kFours, bool kOnes = false>
struct RowsOfTerms {
  static constexpr bool kAlongTerms = false;
  const float* data;
  int64_t pitch;
  int count;  // of a group
  bool by_four;

  RowsOfTerms(const float* p, int64_t columns, int64_t groups = 1)
      : data(p),
        pitch(columns * groups),
        count(static_cast<int>(columns)),
        by_four(columns % 4 == 0 && aligned(p)) {}

  struct Line {
    const float* first;
    int left;  // so many numbers, and below 0 not even the one
  };
  CK_DEVICE Line line(int x, int group) const {
    return {data + int64_t{group} * count + x, count - x};
  }
  CK_DEVICE float4 load(const Line& line, int term, int end) const {
    float4 v = zeros();
    if (term >= end) return v;
    const float* const p = line.first + term * pitch;
    if (kFours || by_four) {
      if (line.left > 0) v = four_at(p);
      if (kOnes && line.left == 0) v.x = 1;
    } else {
      if (line.left > 0) v.x = p[0];
      if (line.left > 1) v.y = p[1];
      if (line.left > 2) v.z = p[2];
      if (line.left > 3) v.w = p[3];
      if (kOnes) set_part(v, line.left, 1);
    }
    return v;
  }
};

}  // namespace convkit::cuda
