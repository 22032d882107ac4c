// Values side by side that are loaded and stored at once, of up to 16 bytes in one instruction, and
// loops over arrays in packs.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/launch.cuh"

namespace convkit::cuda {

template <class T, int n>
struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Pack {
  T v[n];
};

// Values of T in 16 bytes.
template <class T>
constexpr int kPackSize = 16 / sizeof(T);

template <int n, class T>
CK_DEVICE Pack<T, n> load(const T* p) {
  return *reinterpret_cast<const Pack<T, n>*>(p);
}
template <class T, int n>
CK_DEVICE void store(T* p, const Pack<T, n>& values) {
  *reinterpret_cast<Pack<T, n>*>(p) = values;
}

// Whether packs can be loaded from all of them, as far as they are there.
template <class... P>
bool packable(const P*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

// How many of n values are in packs of `size`, where there are any, and the blocks of 256 threads
// for a loop over packs and values.
constexpr int64_t packed(int64_t n, int64_t size, bool any) { return any ? n / size * size : 0; }
constexpr unsigned blocks_of_packs(int64_t n, int64_t size, bool any) {
  constexpr int64_t kMost = CK_CUDA_EMULATED ? 8 : 2048;  // an emulated thread has its price
  const int64_t blocks = ((any ? (n + size - 1) / size : n) + 255) / 256;
  return static_cast<unsigned>(blocks < kMost ? blocks : kMost);
}

template <int n>
using Width = std::integral_constant<int, n>;

template <int kSize, class F>
struct ForEachPack {
  static constexpr int kThreads = 256;
  F f;
  int64_t n, packed;
  CK_DEVICE void operator()() const {
    const int64_t self = int64_t{blockIdx.x} * kThreads + threadIdx.x;
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t i = self * kSize; i < packed; i += step * kSize) f(i, Width<kSize>{});
    for (int64_t i = packed + self; i < n; i += step) f(i, Width<1>{});
  }
};

// Calls f(i, Width<kSize>{}) for the values from i on, for all i below n in steps of kSize; at the
// end, and everywhere where they are not `packable`, f(i, Width<1>{}) for single ones.
template <int kSize, class Call, class F>
void for_each_pack(const Call& call, int64_t n, bool packable, const F& f) {
  launch(call, dim3(blocks_of_packs(n, kSize, packable)),
         ForEachPack<kSize, F>{f, n, packed(n, kSize, packable)});
}

template <class F, class T, int kSources>
struct Map {
  F f;
  T* y;
  const T* x[kSources];

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    Pack<T, n> in[kSources], out;
    CK_UNROLL
    for (int s = 0; s < kSources; ++s) in[s] = load<n>(x[s] + i);
    CK_UNROLL
    for (int k = 0; k < n; ++k) {
      if constexpr (kSources == 1) {
        out.v[k] = f(in[0].v[k]);
      } else {
        out.v[k] = f(in[0].v[k], in[1].v[k]);
      }
    }
    store(y + i, out);
  }
};

// y[i] = f(x1[i], ...) for n values; y may be one of the sources, of which there are one or two.
template <class Call, class F, class T, class... X>
void map(const Call& call, int64_t n, const F& f, T* y, const X*... x) {
  static_assert(sizeof...(X) <= 2 && (std::is_same_v<T, X> && ...));
  for_each_pack<kPackSize<T>>(call, n, packable(y, x...), Map<F, T, sizeof...(X)>{f, y, {x...}});
}

}  // namespace convkit::cuda
