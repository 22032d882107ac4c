#include "ops/add/add.h"

namespace convkit::CK_ISA {

void add_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* a = call[0].as<T>();
    const T* b = call[1].as<T>();
    T* y = call[2].as<T>();
    for (int64_t i = 0; i < call[2].size(); ++i) y[i] = a[i] + b[i];
  });
}

// The compiler vectorises the loop; chunks of 32 Ki values keep threads out of each other's lines.
void add_simd_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T* a = call[0].as<T>();
    const T* b = call[1].as<T>();
    T* y = call[2].as<T>();
    const Chunks chunks{call[2].size(), 32768};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) y[i] = a[i] + b[i];
    });
  });
}

}  // namespace convkit::CK_ISA
