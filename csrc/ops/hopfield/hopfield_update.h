// What the kernels of hopfield share.
#pragma once

#include "ops/hopfield/hopfield.h"

namespace convkit {

// The two values of a neuron, and its value after an update in the field h.
template <class T>
struct Alphabet {
  T low, high;

  CK_INLINE explicit Alphabet(const Call& call)
      : low(static_cast<T>(call.as<HopfieldParams>().low)),
        high(static_cast<T>(call.as<HopfieldParams>().high)) {}
  CK_INLINE T update(T h, T s) const { return h > 0 ? high : h < 0 ? low : s; }
};

}  // namespace convkit
