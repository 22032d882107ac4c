// The fields of all states are one matrix product. A flip of neuron i then adds a multiple of
// column i of w to the fields of its state, so that an update costs O(1) where nothing flips and
// O(N) where something does; near a fixed point hardly anything flips.
#include "gemm/blas.h"
#include "ops/hopfield/hopfield_update.h"

#if CK_HAVE_BLAS

namespace convkit::CK_ISA {
namespace {

constexpr int64_t kStates = 8;  // updated together: they share the columns of w in the cache

// h [B,N] = s w^T + b, cut into tiles: a single state uses all threads, too.
template <class T>
void local_fields(ThreadPool* pool, const T* w, const T* b, const T* s, int64_t B, int64_t N,
                  T* h) {
  const Chunks down{B, 64}, across{N, 512};
  pool->parallel_for(down.count() * across.count(), [&](int64_t tile, int) {
    const int64_t n = down.begin(tile / across.count()), i = across.begin(tile % across.count());
    const int64_t rows = down.end(tile / across.count()) - n;
    const int64_t columns = across.end(tile % across.count()) - i;
    gemm(false, true, rows, columns, N, T(1), s + n * N, N, w + i * N, N, T(0), h + n * N + i, N);
    if (b == nullptr) return;
    for (int64_t r = n; r < n + rows; ++r) {
      for (int64_t c = i; c < i + columns; ++c) h[r * N + c] += b[c];
    }
  });
}

template <class T>
CK_INLINE void add_multiple(T factor, const T* __restrict x, int64_t n, T* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] += factor * x[j];
}

}  // namespace

void hopfield_blas_asynchronous(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Alphabet<T> alphabet(call);
    const T* const w = call[0].as<T>();
    const int64_t* const order = call[2].as<int64_t>();
    const int64_t L = call[2].size(), B = call[3].shape[0], N = call[3].shape[1];
    T* const s = call[3].as<T>();
    T* const h = reinterpret_cast<T*>(call.workspace);
    int64_t* const flips = call[4].as<int64_t>();
    local_fields(call.pool, w, call[1].as<T>(), s, B, N, h);
    const Chunks chunks{B, kStates};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      const int64_t begin = chunks.begin(chunk), end = chunks.end(chunk);
      for (int64_t n = begin; n < end; ++n) flips[n] = 0;
      for (int64_t t = 0; t < L; ++t) {
        const int64_t i = order[t];
        for (int64_t n = begin; n < end; ++n) {
          const T old = s[n * N + i], next = alphabet.update(h[n * N + i], old);
          if (next == old) continue;
          s[n * N + i] = next;
          ++flips[n];
          add_multiple(next - old, w + i * N, N, h + n * N);  // row i is column i
        }
      }
    });
  });
}

void hopfield_blas_synchronous(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const Alphabet<T> alphabet(call);
    const int64_t B = call[2].shape[0], N = call[2].shape[1];
    const T* const s = call[2].as<T>();
    T* const y = call[3].as<T>();
    int64_t* const flips = call[4].as<int64_t>();
    local_fields(call.pool, call[0].as<T>(), call[1].as<T>(), s, B, N, y);
    const Chunks chunks{B, kStates};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t n = chunks.begin(chunk); n < chunks.end(chunk); ++n) {
        int64_t changed = 0;
        for (int64_t i = n * N; i < (n + 1) * N; ++i) {
          y[i] = alphabet.update(y[i], s[i]);
          changed += y[i] != s[i];
        }
        flips[n] = changed;
      }
    });
  });
}

void hopfield_blas_energy(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const int64_t B = call[2].shape[0], N = call[2].shape[1];
    const T* const b = call[1].as<T>();
    const T* const s = call[2].as<T>();
    T* const h = reinterpret_cast<T*>(call.workspace);
    local_fields(call.pool, call[0].as<T>(), static_cast<const T*>(nullptr), s, B, N, h);
    const Chunks chunks{B, kStates};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t n = chunks.begin(chunk); n < chunks.end(chunk); ++n) {
        double e = 0;
        for (int64_t i = 0; i < N; ++i) {
          const double field = h[n * N + i];
          e -= s[n * N + i] * (field / 2 + (b != nullptr ? b[i] : T(0)));
        }
        call[3].as<double>()[n] = e;
      }
    });
  });
}

}  // namespace convkit::CK_ISA

#endif  // CK_HAVE_BLAS
