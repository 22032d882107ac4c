// Vectors of a chosen number of lanes, and the winners of a maximum as bytes.
#pragma once

#include <cstring>

#include "ops/pool2d/pool2d_geometry.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {

template <class T>
using IntOf = typename raw::Types<T>::IntLane;

template <class T, int L>
struct Lanes {
  typedef T Type __attribute__((vector_size(L * sizeof(T))));
  typedef T Unaligned __attribute__((vector_size(L * sizeof(T)), aligned(alignof(T))));
};
template <class T, int L>
using VecOf = typename Lanes<T, L>::Type;

// Not by memcpy: a store that may change any memory would make the loops reload their sizes.
template <int L, class T>
CK_INLINE VecOf<T, L> load(const T* p) {
  return *reinterpret_cast<const typename Lanes<T, L>::Unaligned*>(p);
}
template <int L, class T>
CK_INLINE void store(T* p, VecOf<T, L> v) {
  *reinterpret_cast<typename Lanes<T, L>::Unaligned*>(p) = v;
}

// L winners as integers of T's width, and back. GCC 12 converts vectors of different widths lane by
// lane, but for the widest.
template <class T, int L, class Index>
CK_INLINE VecOf<IntOf<T>, L> load_winners(const Index* p) {
  using I = VecOf<IntOf<T>, L>;
#if CK_X86_64
  if constexpr (sizeof(T) == 4 && sizeof(Index) == 1) {
#if CK_ISA_LEVEL == 2
    if constexpr (L == 16) return (I)_mm512_maskz_cvtepu8_epi32(-1, _mm_loadu_si128((__m128i*)p));
#endif
#if CK_ISA_LEVEL >= 1
    if constexpr (L == 8) return (I)_mm256_cvtepu8_epi32(_mm_loadl_epi64((__m128i*)p));
#endif
    if constexpr (L == 4) {
      const __m128i zero = _mm_setzero_si128(), bytes = _mm_loadu_si32(p);
      return (I)_mm_unpacklo_epi16(_mm_unpacklo_epi8(bytes, zero), zero);
    }
  }
#endif
  return __builtin_convertvector(load<L>(p), I);
}

template <class T, int L, class Index>
CK_INLINE void store_winners(Index* p, VecOf<IntOf<T>, L> winners) {
#if CK_X86_64
  if constexpr (sizeof(T) == 4 && sizeof(Index) == 1 && (L == 4 || L == 8)) {
    VecOf<int32_t, 4> halves[L / 4];
    std::memcpy(halves, &winners, sizeof winners);
    const __m128i words = _mm_packs_epi32((__m128i)halves[0], (__m128i)halves[L / 4 - 1]);
    const __m128i bytes = _mm_packus_epi16(words, words);
    std::memcpy(p, &bytes, L);
    return;
  }
#endif
  store<L>(p, __builtin_convertvector(winners, VecOf<Index, L>));
}

template <int N>
struct Const {
  static constexpr int value = N;
};

// Calls f(c) for vectors of L lanes that cover the channels [0, C), L <= C.
template <int L, class F>
CK_INLINE void for_channels(int64_t C, const F& f) {
  for (int64_t c = 0; c < C; c += L) f(c < C - L ? c : C - L);
}

// Likewise f(count, c) for 4 vectors from channel c on while there are as many, else for 1.
template <int L, class F>
CK_INLINE void for_channel_groups(int64_t C, const F& f) {
  int64_t c = 0;
  if constexpr (L > 1) {
    for (; c + 4 * L <= C; c += 4 * L) f(Const<4>{}, c);
  }
  for (; c < C; c += L) f(Const<1>{}, c < C - L ? c : C - L);
}

// Calls f(lanes) with the widest vector that C channels fill. float64, which is for checking, has
// fewer widths and sizes to choose from: each is one more copy of the kernels.
template <class T, class F>
CK_INLINE void choose_lanes(int64_t C, const F& f) {
  constexpr int kFull = kVecBytes / sizeof(T);
  if (C >= kFull) return f(Const<kFull>{});
  if constexpr (sizeof(T) == 4 && kFull > 8) {
    if (C >= 8) return f(Const<8>{});
  }
  if constexpr (sizeof(T) == 4 && kFull > 4) {
    if (C >= 4) return f(Const<4>{});
  }
  if (C > 0) f(Const<1>{});
}

// Calls f(size) with the window's size where it is a usual one, so that its loops unroll: 2 for
// 2x2, 3 for 3x3 (if kThree), 0 for any other.
template <class T, bool kThree, class F>
CK_INLINE void choose_window(const Pool2dParams& k, const F& f) {
  if constexpr (sizeof(T) == 4) {
    if (k.window_h == 2 && k.window_w == 2) return f(Const<2>{});
    if constexpr (kThree) {
      if (k.window_h == 3 && k.window_w == 3) return f(Const<3>{});
    }
  }
  f(Const<0>{});
}

}  // namespace convkit::CK_ISA
