// How far a row is right, on any device.
#pragma once

#include "core/row_group.h"
#include "ops/accuracy/accuracy.h"

namespace convkit::CK_ISA {

template <class T, class Group>
CK_ROW bool in_top(const Group& group, const T* p, int64_t k, int64_t label, int64_t top) {
  const T least = p[label] == p[label] ? p[label] : -static_cast<T>(__builtin_huge_val());
  long long larger = 0;
  group.each(k, [&](int64_t j) { larger += p[j] > least; });
  return group.sum(larger) < top;
}

// Of the values of a row for which `hit` is true.
template <class Group, class Hit>
CK_ROW double share(const Group& group, int64_t k, const Hit& hit) {
  long long hits = 0;
  group.each(k, [&](int64_t j) { hits += hit(j); });
  return static_cast<double>(group.sum(hits)) / static_cast<double>(k);
}

// The match of a row, whose targets are values or, where there are none, a label. Of a group
// without a row of its own k is 0, and the match anything.
template <class T, class Group>
CK_ROW double match(const Group& group, const AccuracyParams& params, const T* p, const T* target,
                    int64_t label, int64_t k) {
  const T threshold = static_cast<T>(params.threshold);
  const auto kind = static_cast<Accuracy>(params.kind);
  if (kind == Accuracy::binary)
    return share(group, k,
                 [&](int64_t j) { return (p[j] > threshold) == (target[j] > threshold); });
  if (kind == Accuracy::equal) return share(group, k, [&](int64_t j) { return p[j] == target[j]; });
  if (target) label = group.argmax(target, k);
  if (kind == Accuracy::sparse_top_k || kind == Accuracy::categorical_top_k)
    return in_top(group, p, k, label < k ? label : 0, params.top_k);
  return group.argmax(p, k) == label;
}

}  // namespace convkit::CK_ISA
