// The Gaussian, a vector of units at a time: their widths stay in a register.
#include "ops/rbf/rbf.h"
#include "simd/math.h"

namespace convkit::CK_ISA {
namespace {

template <class T>
struct Units {
  int64_t first;
  int lanes;

  CK_INLINE Vec<T> load(const T* p) const {
    return lanes == Vec<T>::kLanes ? Vec<T>::loadu(p) : Vec<T>::load_partial(p, lanes);
  }
  CK_INLINE void store(T* p, Vec<T> v) const {
    if (lanes == Vec<T>::kLanes) return v.storeu(p);
    v.store_partial(p, lanes);
  }
};

// The units of vector `index` of K.
template <class T>
CK_INLINE Units<T> units(int64_t index, int64_t K) {
  const int64_t first = index * Vec<T>::kLanes, left = K - first;
  return {first, left < Vec<T>::kLanes ? static_cast<int>(left) : Vec<T>::kLanes};
}

}  // namespace

void rbf_simd_gaussian(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    using V = Vec<T>;
    const T* const d = call[0].as<T>();
    const T* const s = call[1].as<T>();
    T* const y = call[2].as<T>();
    const int64_t vectors = ceil_div(K, V::kLanes);
    const Chunks rows{R, 16384 / (K + 1) + 1};
    call.pool->parallel_for(rows.count(), [&](int64_t chunk, int) {
      for (int64_t v = 0; v < vectors; ++v) {
        const Units<T> u = units<T>(v, K);
        const V gamma = T(0.5) * exp(T(-2) * u.load(s + u.first));
        for (int64_t r = rows.begin(chunk); r < rows.end(chunk); ++r) {
          const int64_t at = r * K + u.first;
          u.store(y + at, exp(-u.load(d + at) * gamma));
        }
      }
    });
  });
}

// A chunk is a vector of units with all their rows: the sums for ds have one order.
void rbf_simd_gaussian_backward(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    using V = Vec<T>;
    const T* const dy = call[0].as<T>();
    const T* const y = call[1].as<T>();
    const T* const d = call[2].as<T>();
    const T* const s = call[3].as<T>();
    T* const dd = call[4].as<T>();
    T* const ds = call[5].as<T>();
    const auto column = [&](int64_t v, int) {
      const Units<T> u = units<T>(v, K);
      const V precision = exp(T(-2) * u.load(s + u.first));
      V sum = V::zero();
      for (int64_t at = u.first; at < R * K; at += K) {
        const V slope = u.load(dy + at) * u.load(y + at) * precision;
        u.store(dd + at, T(-0.5) * slope);
        sum = fma(slope, u.load(d + at), sum);
      }
      if (ds != nullptr) u.store(ds + u.first, sum);
    };
    call.pool->parallel_for(ceil_div(K, V::kLanes), column, R * K < 16384 ? 1 : 0);
  });
}

}  // namespace convkit::CK_ISA
