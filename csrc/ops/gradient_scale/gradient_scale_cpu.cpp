#include <cstring>

#include "ops/gradient_scale/gradient_scale_formula.h"

namespace convkit::CK_ISA {
namespace {

double factor_now(const Call& call) {
  return factor_at(call.as<GradientScaleParams>(), *call.step);
}

}  // namespace

void gradient_scale_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < call[0].size(); ++i) call[1].as<T>()[i] = call[0].as<T>()[i];
  });
}

void gradient_scale_naive_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T factor = static_cast<T>(factor_now(call));
    for (int64_t i = 0; i < call[0].size(); ++i) call[1].as<T>()[i] = factor * call[0].as<T>()[i];
  });
}

void gradient_scale_simd_forward(const Call& call) {
  if (call[0].data == call[1].data || call[0].bytes() == 0) return;
  std::memcpy(call[1].data, call[0].data, static_cast<std::size_t>(call[0].bytes()));
}

// The compiler vectorises the loop; chunks of 32 Ki values keep threads out of each other's lines.
void gradient_scale_simd_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const T factor = static_cast<T>(factor_now(call));
    const T* dy = call[0].as<T>();
    T* dx = call[1].as<T>();
    const Chunks chunks{call[0].size(), 32768};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) dx[i] = factor * dy[i];
    });
  });
}

}  // namespace convkit::CK_ISA
