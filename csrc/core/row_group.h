// Formulas of a whole row are written once for any number of threads that share it: for `Alone`,
// the one thread of a CPU kernel, and for the groups of a GPU's threads (cuda/rows.cuh).
#pragma once

#include "core/argmax.h"
#include "core/libm.h"

// In front of such a formula: under nvcc, groups are of the device alone.
#ifdef __CUDACC__
#define CK_ROW __device__
#else
#define CK_ROW
#endif

namespace convkit::CK_ISA {

// sum of exp(x - max) of a row, and max. The sum is NaN where the row has a NaN or +inf, or nothing
// but -inf.
template <class T>
struct SumOfExp {
  T max, sum;
};

// Every member that gives a value gives it to all threads of the group, and is called by all.
struct Alone {
  // f(j) for this thread's share of 0 <= j < k.
  template <class F>
  CK_ROW static void each(int64_t k, const F& f) {
    for (int64_t j = 0; j < k; ++j) f(j);
  }

  template <class V>
  CK_ROW static V sum(V value) {
    return value;
  }
  // The larger of the threads' values; where there is a NaN it is that, or is left out.
  template <class V>
  CK_ROW static V max_or_nan(V value) {
    return value;
  }
  template <class V>
  CK_ROW static V max_of_numbers(V value) {
    return value;
  }

  template <class T>
  CK_ROW static int64_t argmax(const T* p, int64_t k) {
    return convkit::argmax(p, k);
  }

  template <class T>
  CK_ROW static SumOfExp<T> sum_of_exp(const T* p, int64_t k) {
    T m = p[0];
    for (int64_t j = 1; j < k; ++j) m = p[j] > m ? p[j] : m;  // a NaN reaches the sum
    T sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += libm::exp(p[j] - m);
    return {m, sum};
  }
};

}  // namespace convkit::CK_ISA
