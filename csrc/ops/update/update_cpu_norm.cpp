// The norm of the gradient, and clipping by it.
#include "gemm/tree_sum.h"
#include "ops/update/update.h"

namespace convkit::CK_ISA {
namespace {

// In double: squares of float32 neither overflow nor vanish.
template <class T>
CK_INLINE double sum_of_squares(const T* g, int64_t n) {
  double lanes[kSumLanes] = {};
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
    for (int l = 0; l < kSumLanes; ++l) {
      lanes[l] += static_cast<double>(g[i + l]) * static_cast<double>(g[i + l]);
    }
  }
  for (int l = 0; i < n; ++i, ++l)
    lanes[l] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  return sum_of_lanes(lanes);
}

// What to multiply gradients with.
template <class T>
CK_INLINE T clipping(const Call& call) {
  const double norm = static_cast<double>(*call[0].as<T>());
  const double most = call.as<UpdateParams>().max_norm;
  return static_cast<T>(norm > most ? most / norm : 1.0);
}

}  // namespace

void update_naive_global_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    double sum = 0;
    for (int o = 0; o + 1 < call.count; ++o) {
      const T* const g = call[o].as<T>();
      for (int64_t i = 0; i < call[o].size(); ++i) sum += static_cast<double>(g[i]) * g[i];
    }
    *call[call.count - 1].as<T>() = static_cast<T>(__builtin_sqrt(sum));
  });
}

void update_naive_clip_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T factor = clipping<T>(call);
    T* const g = call[1].as<T>();
    for (int64_t i = 0; i < call[1].size(); ++i) g[i] *= factor;
  });
}

void update_simd_global_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    double* const sums = reinterpret_cast<double*>(call.workspace);
    int64_t count = 0;
    for (int o = 0; o + 1 < call.count; ++o) {
      const T* const g = call[o].as<T>();
      const Chunks chunks{call[o].size(), kUpdateChunk};
      call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
        const int64_t begin = chunks.begin(chunk);
        sums[count + chunk] = sum_of_squares(g + begin, chunks.end(chunk) - begin);
      });
      count += chunks.count();
    }
    double total = 0;
    tree_sum(call.pool, sums, count, 1, 1, &total);
    *call[call.count - 1].as<T>() = static_cast<T>(__builtin_sqrt(total));
  });
}

void update_simd_clip_norm(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T factor = clipping<T>(call);
    if (factor == 1) return;
    T* const g = call[1].as<T>();
    const Chunks chunks{call[1].size(), kUpdateChunk};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) g[i] *= factor;
    });
  });
}

}  // namespace convkit::CK_ISA
