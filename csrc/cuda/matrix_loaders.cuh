// Loaders of matrices that lie in memory row by row (cuda/product_loader.cuh).
#pragma once

#include "cuda/product_plan.cuh"

namespace convkit::cuda {

// The first number is 1: where four numbers would be behind a matrix, a row of ones begins there.
template <class To>
CK_DEVICE void unit(To& to) {
  CK_UNROLL
  for (int i = 0; i < 4; ++i) to.set(i, i == 0 ? 1.0f : 0.0f);
}

// A row in memory is a row of A, or a column of B. kFours: four of its numbers are sure to lie
// together.
template <bool kFours>
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
  template <class To>
  CK_DEVICE void load(const Line& line, int term, int end, To& to) const {
    if (line.row == nullptr || term >= end) return to.none();
    const float* const p = line.row + term;
    if (kFours || by_four) {
      to.four(p, true);
    } else {
      CK_UNROLL
      for (int i = 0; i < 4; ++i) to.one(i, p + i, term + i < end);
    }
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
  template <class To>
  CK_DEVICE void load(const Line& line, int term, int end, To& to) const {
    if (term >= end) return to.none();
    const float* const p = line.first + term * pitch;
    if (kFours || by_four) {
      if (kOnes && line.left == 0)
        unit(to);
      else
        to.four(p, line.left > 0);
    } else {
      CK_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (kOnes && i == line.left)
          to.set(i, 1);
        else
          to.one(i, p + i, i < line.left);
      }
    }
  }
};

}  // namespace convkit::cuda
