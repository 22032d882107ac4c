#include <cstring>

#include "ops/mask/mask_steps.h"

namespace convkit::CK_ISA {
namespace {

constexpr int64_t kChunk = 16384;  // values

template <class T>
CK_INLINE void find(const Call& call) {
  const T* x = call[0].as<T>();
  const float value = static_cast<float>(call.as<MaskParams>().value);
  const int64_t size = step_size(call[0]);
  for (int64_t step = 0; step < call[1].size(); ++step) {
    uint8_t counts = 0;
    for (int64_t j = 0; j < size; ++j) counts |= static_cast<float>(x[step * size + j]) != value;
    call[1].as<uint8_t>()[step] = counts;
  }
}

}  // namespace

void mask_find(const Call& call) {
  dispatch_number(call[0].dtype, [&]<class T>(T) { find<T>(call); });
}

void mask_reverse(const Call& call) {
  const int64_t t = call[0].last();
  for (int64_t n = 0; n < call[0].rows(); ++n)
    for (int64_t s = 0; s < t; ++s)
      call[1].as<uint8_t>()[n * t + s] = call[0].as<uint8_t>()[n * t + t - 1 - s];
}

void mask_weight(const Call& call) {
  dispatch_float(call[2].dtype, [&]<class T>(T) {
    const uint8_t* mask = call[0].as<uint8_t>();
    const T* weight = call[1].as<T>();
    T* y = call[2].as<T>();
    const int64_t n = call[0].size(), each = n ? call[2].size() / n : 0;
    double factor = 1;
    if (call.as<MaskParams>().mean) {
      int64_t count = 0;
      for (int64_t i = 0; i < n; ++i) count += mask[i] != 0;
      factor = count ? static_cast<double>(n) / static_cast<double>(count) : 0;
    }
    const T scale = static_cast<T>(factor);
    for (int64_t i = 0; i < n * each; ++i) {
      const T w = call[1].present() ? weight[i] : T(1);
      y[i] = mask[i / each] ? w * scale : T(0);
    }
  });
}

void mask_naive_apply(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const int64_t size = step_size(call[0]);
    for (int64_t i = 0; i < call[0].size(); ++i)
      call[2].as<T>()[i] = call[1].as<uint8_t>()[i / size] ? call[0].as<T>()[i] : T(0);
  });
}

void mask_steps_apply(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const int64_t size = step_size(call[0]);
    const T* x = call[0].as<T>();
    T* y = call[2].as<T>();
    const Chunks chunks{call[1].size(), size < kChunk ? kChunk / (size > 0 ? size : 1) : 1};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t step = chunks.begin(chunk); step < chunks.end(chunk); ++step) {
        const int64_t at = step * size;
        if (call[1].as<uint8_t>()[step]) {
          std::memmove(y + at, x + at, size * sizeof(T));  // y may be x
        } else {
          for (int64_t j = 0; j < size; ++j) y[at + j] = 0;
        }
      }
    });
  });
}

}  // namespace convkit::CK_ISA
