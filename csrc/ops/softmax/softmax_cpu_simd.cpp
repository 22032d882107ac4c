// softmax, vectorised: each formula once, for the two layouts of simd/rows.h. What lies outside a
// row is -inf, whose exponential is 0.
#include "ops/softmax/softmax.h"
#include "simd/math.h"
#include "simd/rows.h"

namespace convkit::CK_ISA {
namespace {

// A NaN may be lost here; it reaches the result through the sum.
template <class T, class Block>
CK_INLINE Vec<T> row_max(const Block& block, const typename Block::In& x) {
  Vec<T> m = -static_cast<T>(__builtin_inf());
  block.each([&](auto at) { m = max_or_second(m, x(at, -static_cast<T>(__builtin_inf()))); });
  return block.max(m);
}

template <class T, class Block>
CK_INLINE void softmax(const Block& block, const T* from, T* to) {
  const typename Block::In x(block, from);
  typename Block::Out y(block, to);
  const Vec<T> m = row_max<T>(block, x);
  Vec<T> sum = T(0);
  block.each([&](auto at) {
    const Vec<T> e = exp(x(at, -static_cast<T>(__builtin_inf())) - m);
    y.set(at, e);
    sum += e;
  });
  const Vec<T> scale = T(1) / block.sum(sum);
  block.each([&](auto at) { y.set(at, y(at) * scale); });
}

template <class T, class Block>
CK_INLINE void softmax_backward(const Block& block, const T* dy_from, const T* y_from, T* to) {
  const typename Block::In dy(block, dy_from), y(block, y_from);
  typename Block::Out dx(block, to);
  Vec<T> dot = T(0);
  block.each([&](auto at) { dot = fma(dy(at), y(at), dot); });
  dot = block.sum(dot);
  block.each([&](auto at) { dx.set(at, y(at) * (dy(at) - dot)); });
}

template <class T, class Block>
CK_INLINE void log_softmax(const Block& block, const T* from, T* to) {
  const typename Block::In x(block, from);
  typename Block::Out y(block, to);
  const Vec<T> m = row_max<T>(block, x);
  Vec<T> sum = T(0);
  block.each([&](auto at) { sum += exp(x(at, -static_cast<T>(__builtin_inf())) - m); });
  const Vec<T> log_sum = log(block.sum(sum));
  block.each([&](auto at) { y.set(at, (x(at) - m) - log_sum); });
}

template <class T, class Block>
CK_INLINE void log_softmax_backward(const Block& block, const T* dy_from, const T* y_from, T* to) {
  const typename Block::In dy(block, dy_from), y(block, y_from);
  typename Block::Out dx(block, to);
  Vec<T> sum = T(0);
  block.each([&](auto at) { sum += dy(at); });
  sum = block.sum(sum);
  block.each([&](auto at) { dx.set(at, fma(-exp(y(at)), sum, dy(at))); });
}

// Calls f(block, T{}) for the blocks of operand 0.
template <class F>
CK_INLINE void run(const Call& call, const F& f) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for_each_block<T>(call.pool, call[0].rows(), call[0].last(),
                      [&](const auto& block) { f(block, T{}); });
  });
}

}  // namespace

void softmax_simd_forward(const Call& call) {
  run(call, [&]<class T>(const auto& block, T) {
    softmax(block, call[0].as<const T>(), call[1].as<T>());
  });
}

void softmax_simd_backward(const Call& call) {
  run(call, [&]<class T>(const auto& block, T) {
    softmax_backward(block, call[0].as<const T>(), call[1].as<const T>(), call[2].as<T>());
  });
}

void softmax_simd_log_forward(const Call& call) {
  run(call, [&]<class T>(const auto& block, T) {
    log_softmax(block, call[0].as<const T>(), call[1].as<T>());
  });
}

void softmax_simd_log_backward(const Call& call) {
  run(call, [&]<class T>(const auto& block, T) {
    log_softmax_backward(block, call[0].as<const T>(), call[1].as<const T>(), call[2].as<T>());
  });
}

}  // namespace convkit::CK_ISA
