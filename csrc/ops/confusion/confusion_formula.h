// The cell of a row, on any device.
#pragma once

#include "core/row_group.h"
#include "ops/confusion/confusion.h"

namespace convkit::CK_ISA {

// The operands of a call.
template <class T>
struct ConfusionRows {
  int64_t rows, k, classes;
  const T* p;
  const int32_t* labels;  // or values
  const T* values;
  T threshold;

  CK_INLINE explicit ConfusionRows(const convkit::Call& call)
      : rows(call[0].rows()),
        k(call[0].last()),
        classes(k == 1 ? 2 : k),
        p(call[0].as<T>()),
        labels(call[1].dtype == Dtype::int32 ? call[1].as<int32_t>() : nullptr),
        values(labels ? nullptr : call[1].as<T>()),
        threshold(static_cast<T>(call.as<ConfusionParams>().threshold)) {}

  // Of row r; of a group without a row of its own `count` is 0 and the cell anything, otherwise k.
  template <class Group>
  CK_ROW int64_t cell(const Group& group, int64_t r, int64_t count) const {
    if (k == 1) return (values[r] > T(0)) * 2 + (p[r] > threshold);
    const int64_t actual = labels ? int64_t{labels[r]} : group.argmax(values + r * k, count);
    return actual * classes + group.argmax(p + r * k, count);
  }
};

}  // namespace convkit::CK_ISA
