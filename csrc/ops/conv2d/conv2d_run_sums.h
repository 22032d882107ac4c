// Adds up the runs that neighbouring pixels give to a row of the image (conv2d_input_runs.h). For
// kernel sources only (core/isa.h).
#pragma once

#include "gemm/tile.h"

namespace convkit::CK_ISA {

// to[m*pixel + i] += tile.acc[m][i] for i in the run, which ends with `last` lanes of its last
// vector. Lanes beyond are cut off, not just multiplied by zero: an infinite dy would make them
// NaN. Vectors of `to` beyond the run are read and written.
template <class T, int MR, int NV>
CK_INLINE void add_runs(const Tile<T, MR, NV>& tile, int64_t pixel, int last, T* to) {
  using V = Vec<T>;
  const auto in_run = V::iota() < V(static_cast<T>(last));
#if CK_X86_64 && CK_ISA_LEVEL == 2
  // Where runs overlap, a load of what has just been stored in part would wait until that is in the
  // cache. So the window of sums that a run covers stays in registers, and moves on by a pixel at a
  // time; whole vectors are stored, whose end the next ones overwrite.
  if constexpr (sizeof(T) == 4 && NV <= 2) {
    if (pixel < V::kLanes) {
      const __m512i iota = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
      const __m512i next = _mm512_add_epi32(iota, _mm512_set1_epi32(static_cast<int>(pixel)));
      const __mmask16 stay = static_cast<__mmask16>(0xffff >> pixel);
      V window[NV];
      for (int v = 0; v < NV; ++v) window[v] = V::loadu(to + v * V::kLanes);
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        for (int v = 0; v < NV - 1; ++v) window[v] += tile.acc[m][v];
        window[NV - 1] += select(in_run, tile.acc[m][NV - 1], V::zero());
        if (m == MR - 1) break;
        window[0].storeu(to);
        to += pixel;
        if (NV == 2) window[0] = V(_mm512_permutex2var_ps(window[0].v, next, window[NV - 1].v));
        window[NV - 1] = V(_mm512_mask_permutexvar_ps(V::loadu(to + (NV - 1) * V::kLanes).v, stay,
                                                      next, window[NV - 1].v));
      }
      for (int v = 0; v < NV; ++v) window[v].storeu(to + v * V::kLanes);
      return;
    }
  }
#endif
  for (int m = 0; m < MR; ++m, to += pixel) {
    for (int v = 0; v < NV; ++v) {
      V sum = tile.acc[m][v];
      if (v == NV - 1) sum = select(in_run, sum, V::zero());
      (V::loadu(to + v * V::kLanes) + sum).storeu(to + v * V::kLanes);
    }
  }
}

}  // namespace convkit::CK_ISA
