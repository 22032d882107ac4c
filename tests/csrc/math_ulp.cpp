// Measures the largest error of every function in simd/math.h against double-precision libm and
// fails above the bound that its header states.
//   g++ <flags of the ISA> -DCK_ISA=avx2 -DCK_ISA_LEVEL=1 -Icsrc tests/csrc/math_ulp.cpp
//   ./a.out [stride]     every stride-th bit pattern of all floats, default 61 (odd: all low bits
//   occur)
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "core/thread_pool.h"
#include "simd/math.h"

using namespace convkit::CK_ISA;
using F = Vec<float>;
using D = Vec<double>;

namespace {

constexpr int kL = F::kLanes;
int g_failures = 0;

void fail(const char* what, const char* name, double x, double got, double want) {
  std::printf("FAIL %s %s(%a) = %a, not %a\n", what, name, x, got, want);
  ++g_failures;
}

bool same_special(float got, double want) {
  if (std::isnan(want)) return std::isnan(got);
  return got == want && std::signbit(got) == std::signbit(want);
}

bool g_flushed = false;  // running with denormals flushed

// |got - want| in units in the last place of want. Below FLT_MIN, and with denormals flushed near
// it (an intermediate product may vanish), an absolute error of FLT_MIN is allowed.
double ulp_error(float got, double want) {
  constexpr double kMin = std::numeric_limits<float>::min();
  if ((std::fabs(want) < kMin || g_flushed) && std::fabs(got - want) <= kMin) return 0;
  if (static_cast<double>(got) == want) return 0;
  const float nearest = static_cast<float>(want);
  if (std::isinf(nearest) || std::isinf(got)) {
    // Next to overflow: both must be infinite or huge.
    return std::fabs(got) >= 3.4028e38f && std::fabs(want) >= 3.4028e38 &&
                   std::signbit(got) == std::signbit(want)
               ? 0
               : INFINITY;
  }
  int exponent;
  std::frexp(want, &exponent);
  return std::fabs(got - want) / std::ldexp(1.0, exponent - 24);
}

template <class Fn>
double nanoseconds(Fn fn, float lo, float hi) {
  alignas(64) static float x[4096], y[4096];
  for (int i = 0; i < 4096; ++i) x[i] = lo + (hi - lo) * static_cast<float>(i) / 4096;
  double best = 1e9;
  for (int run = 0; run < 50; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 4096; i += kL) fn(F::load(x + i)).store(y + i);
    asm volatile("" : : "r"(y) : "memory");
    const std::chrono::duration<double, std::nano> t = std::chrono::steady_clock::now() - begin;
    best = std::fmin(best, t.count() / 4096);
  }
  return best;
}

template <class Fn, class Reference>
void check(const char* name, double bound, uint32_t stride, float lo, float hi, Fn fn,
           Reference reference) {
  double worst = 0;
  float worst_x = 0;
  uint64_t bits = 0;
  while (bits < (uint64_t{1} << 32)) {
    alignas(64) float x[kL], y[kL];
    for (int i = 0; i < kL; ++i, bits += stride) {
      const uint32_t b = static_cast<uint32_t>(bits);
      std::memcpy(x + i, &b, 4);
    }
    fn(F::load(x)).store(y);
    for (int i = 0; i < kL; ++i) {
      const double want = reference(static_cast<double>(x[i]));
      if (std::isnan(want) || std::isinf(want)) {
        if (!same_special(y[i], want)) fail("special", name, x[i], y[i], want);
        continue;
      }
      const double error = std::isnan(y[i]) ? INFINITY : ulp_error(y[i], want);
      if (error > worst) worst = error, worst_x = x[i];
    }
    if (g_failures > 20) return;
  }
  const float inf = INFINITY;
  for (float x : {0.0f, -0.0f, inf, -inf, NAN, 1.0f, -1.0f, 1e-20f, -1e-20f, 200.0f, -200.0f,
                  3.4e38f, -3.4e38f}) {
    const double want = reference(static_cast<double>(x));
    const float got = fn(F(x))[kL - 1];
    const bool special = x == 0 || std::isnan(want) || std::isinf(want);
    if (special ? !same_special(got, static_cast<float>(want)) : ulp_error(got, want) > bound) {
      fail("at", name, x, got, want);
    }
  }
  std::printf("%-9s %8.2f %8.1f   %-16.8g %8.3f\n", name, worst, bound, worst_x,
              nanoseconds(fn, lo, hi));
  if (!(worst <= bound)) {
    std::printf("FAIL %s exceeds its bound\n", name);
    ++g_failures;
  }
}

#define CK_EXPECT(condition)                                   \
  do {                                                         \
    if (!(condition)) {                                        \
      std::printf("FAIL line %d: %s\n", __LINE__, #condition); \
      ++g_failures;                                            \
    }                                                          \
  } while (0)

// What vec.h promises beyond arithmetic.
template <class T>
void check_vec() {
  using V = Vec<T>;
  constexpr int n = V::kLanes;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  T sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += static_cast<T>(i);
    CK_EXPECT(V::iota()[i] == static_cast<T>(i));
  }
  CK_EXPECT(reduce_sum(V::iota()) == sum);
  CK_EXPECT(reduce_max(V::iota()) == n - 1 && reduce_min(V::iota()) == 0);
  for (int i = 0; i < n; ++i) {
    V v = V::iota();
    v.set(i, nan);
    CK_EXPECT(std::isnan(reduce_max(v)) && std::isnan(reduce_min(v)));
  }
  CK_EXPECT(std::isnan(max(V(nan), V(1))[0]) && std::isnan(max(V(1), V(nan))[0]));
  CK_EXPECT(std::isnan(min(V(nan), V(1))[0]) && std::isnan(min(V(1), V(nan))[0]));
  CK_EXPECT(std::isnan(max_or_second(V(0), V(nan))[0]) && max_or_second(V(nan), V(0))[0] == 0);
  for (T x : {T(0.5), T(1.5), T(2.5), T(-0.5), T(-2.5), T(0.49999997), T(-0.2), T(4194305.5),
              T(1e9), T(-8388609), T(1e20)}) {
    CK_EXPECT(round(V(x))[0] == std::nearbyint(x));
    CK_EXPECT(std::signbit(round(V(x))[0]) == std::signbit(x));
  }
  CK_EXPECT(std::isnan(round(V(nan))[0]) && std::isinf(round(V(T(INFINITY)))[0]));
  CK_EXPECT(sqrt(V(T(2)))[n - 1] == std::sqrt(T(2)) && abs(V(T(-3)))[0] == 3);
  CK_EXPECT((V(1) < V(2)).any() && !(V(nan) < V(2)).any() && !(V(nan) == V(nan)).any());
  for (int count = 0; count <= n; ++count) {
    // The heap block ends with the data, so that AddressSanitizer sees a stray access.
    std::vector<T> x(count), y(count);
    for (int i = 0; i < count; ++i) x[i] = static_cast<T>(i + 1);
    const V v = V::load_partial(x.data(), count);
    for (int i = 0; i < n; ++i) CK_EXPECT(v[i] == (i < count ? static_cast<T>(i + 1) : 0));
    v.store_partial(y.data(), count);
    CK_EXPECT(x == y);
    std::vector<T> z(n + 1, T(7));
    v.store_partial(z.data(), count);
    CK_EXPECT(z[count] == T(7));
  }
}

void check_double() {
  for (double x : {-1e300, -800.0, -3.5, -0.3, -1e-9, 0.0, 1e-9, 0.7, 20.0, 700.0, 1e300}) {
    CK_EXPECT(exp(D(x))[0] == std::exp(x) && expm1(D(x))[1] == std::expm1(x));
    CK_EXPECT(tanh(D(x))[0] == std::tanh(x) && erf(D(x))[1] == std::erf(x));
    CK_EXPECT(std::fabs(sigmoid(D(x))[0] - 1 / (1 + std::exp(-x))) < 1e-15);
    CK_EXPECT(softplus(D(x))[0] >= std::fmax(x, 0.0) && !std::isnan(softplus(D(x))[0]));
    if (x > 0) CK_EXPECT(log(D(x))[0] == std::log(x) && log1p(D(x))[1] == std::log1p(x));
  }
}

// With denormals flushed (as in the pool) a denormal argument is 0 for the reference too, because
// its conversion to double flushes it.
void check_functions(uint32_t stride) {
  std::printf("%-9s %8s %8s   %-16s %8s\n", "function", "max ulp", "bound", "at", "ns/elem");
  using d = double;
  check("exp", 2, stride, -80, 80, [](F x) { return exp(x); }, [](d x) { return std::exp(x); });
  check(
      "expm1", 3, stride, -10, 80, [](F x) { return expm1(x); }, [](d x) { return std::expm1(x); });
  check(
      "sigmoid", 3, stride, -80, 80, [](F x) { return sigmoid(x); },
      [](d x) { return 1 / (1 + std::exp(-x)); });
  check("tanh", 3, stride, -10, 10, [](F x) { return tanh(x); }, [](d x) { return std::tanh(x); });
  check("log", 2, stride, 0, 100, [](F x) { return log(x); }, [](d x) { return std::log(x); });
  check(
      "log1p", 3, stride, 0, 100, [](F x) { return log1p(x); }, [](d x) { return std::log1p(x); });
  check(
      "softplus", 3, stride, -20, 20, [](F x) { return softplus(x); },
      [](d x) {
        return std::log1p(std::exp(-std::fabs(x))) + (x > 0 ? x : x == x ? 0 : x);
      });
  check("erf", 3, stride, -4, 4, [](F x) { return erf(x); }, [](d x) { return std::erf(x); });
}

}  // namespace

int main(int argc, char** argv) {
  const uint32_t stride = argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : 61;
  check_vec<float>();
  check_vec<double>();
  check_double();
  std::printf("ISA level %d, %d bytes, fma %d, every %u-th float\n", CK_ISA_LEVEL, kVecBytes,
              kHasFma, stride);
  std::printf("denormals kept\n");
  check_functions(stride);
  std::printf("denormals flushed\n");
  {
    convkit::DenormalsFlushed flushed;
    g_flushed = true;
    check_functions(stride);
  }
  if (g_failures > 0) std::printf("%d failures\n", g_failures);
  return g_failures > 0 ? 1 : 0;
}
