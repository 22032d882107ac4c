// The Gaussian, a vector of units at a time: their widths stay in a register.
#include "ops/rbf/rbf.h"
#include "simd/each_vector.h"
#include "simd/math.h"

namespace convkit::CK_ISA {

void rbf_simd_gaussian(const Call& call) {
  const int64_t R = call[0].rows(), K = call[0].last();
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    using V = Vec<T>;
    const T* const d = call[0].as<T>();
    const T* const s = call[1].as<T>();
    T* const y = call[2].as<T>();
    const Chunks rows{R, 16384 / (K + 1) + 1};
    call.pool->parallel_for(rows.count(), [&](int64_t chunk, int) {
      each_vector<T>(K, [&](auto units) {
        const V gamma = T(0.5) * exp(T(-2) * units.load(s));
        for (int64_t r = rows.begin(chunk); r < rows.end(chunk); ++r) {
          units.store(y + r * K, exp(-units.load(d + r * K) * gamma));
        }
      });
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
      one_vector<T>(K, v, [&](auto units) {
        const V precision = exp(T(-2) * units.load(s));
        V sum = V::zero();
        for (int64_t row = 0; row < R * K; row += K) {
          const V slope = units.load(dy + row) * units.load(y + row) * precision;
          units.store(dd + row, T(-0.5) * slope);
          sum = fma(slope, units.load(d + row), sum);
        }
        if (ds != nullptr) units.store(ds, sum);
      });
    };
    call.pool->parallel_for(ceil_div(K, V::kLanes), column);
  });
}

}  // namespace convkit::CK_ISA
