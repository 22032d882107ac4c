#include "ops/hopfield/hopfield_update.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
CK_INLINE T field(const T* w, const T* b, const T* s, int64_t N, int64_t i) {
  T h = 0;
  for (int64_t j = 0; j < N; ++j) h += w[i * N + j] * s[j];
  return b != nullptr ? h + b[i] : h;
}

}  // namespace

void hopfield_naive_asynchronous(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Alphabet<T> alphabet(call);
    const T* w = call[0].as<T>();
    const T* b = call[1].as<T>();
    const int64_t* order = call[2].as<int64_t>();
    const int64_t L = call[2].size(), B = call[3].shape[0], N = call[3].shape[1];
    for (int64_t n = 0; n < B; ++n) {
      T* s = call[3].as<T>() + n * N;
      int64_t flips = 0;
      for (int64_t t = 0; t < L; ++t) {
        const int64_t i = order[t];
        const T next = alphabet.update(field(w, b, s, N, i), s[i]);
        flips += next != s[i];
        s[i] = next;
      }
      call[4].as<int64_t>()[n] = flips;
    }
  });
}

void hopfield_naive_synchronous(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Alphabet<T> alphabet(call);
    const int64_t B = call[2].shape[0], N = call[2].shape[1];
    for (int64_t n = 0; n < B; ++n) {
      const T* s = call[2].as<T>() + n * N;
      T* y = call[3].as<T>() + n * N;
      int64_t flips = 0;
      for (int64_t i = 0; i < N; ++i) {
        y[i] = alphabet.update(field(call[0].as<T>(), call[1].as<T>(), s, N, i), s[i]);
        flips += y[i] != s[i];
      }
      call[4].as<int64_t>()[n] = flips;
    }
  });
}

void hopfield_naive_energy(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* b = call[1].as<T>();
    const int64_t B = call[2].shape[0], N = call[2].shape[1];
    for (int64_t n = 0; n < B; ++n) {
      const T* s = call[2].as<T>() + n * N;
      double e = 0;
      for (int64_t i = 0; i < N; ++i) {
        const double h = field(call[0].as<T>(), static_cast<const T*>(nullptr), s, N, i);
        e -= s[i] * (h / 2 + (b != nullptr ? b[i] : T(0)));
      }
      call[3].as<double>()[n] = e;
    }
  });
}

}  // namespace convkit::CK_ISA
