// The matrices of Winograd's convolution with six points and their products with vectors. For
// kernel sources only (core/isa.h).
//
// F(M, R), M + R = 7, makes M values of a correlation with R taps of 6 values d and 6 products:
//   y = A^T ((G g) . (B^T d)),  in two dimensions  Y = A^T ((G g G^T) . (B^T d B)) A
// (Lavin and Gray 2016, arXiv:1509.09308). The matrices are Cook and Toom's for the points 0, +-a,
// +-b and infinity: with f_j the product of the differences of point j from the other finite ones,
//   A^T[i][j] = p_j^i,  G[j][i] = p_j^i / f_j,  B^T[j] = coefficients of the product of all
// x - p_k, k != j; for infinity, A^T and G have a 1 in their last power, B^T all finite points.
// B^T depends on the points alone: one transform of d serves F(4,3), F(2,5), F(3,4) and F(5,2).
// So does f, by which one may divide on any side: A^T and G without it are the values of a
// polynomial at the points.
//
// a = 5/8 and b = 3/2 are of the points whose rounding errors are least (Barabasz et al. 2018,
// arXiv:1803.10986), and all coefficients but those 1 / f_j are exact in float32. Scaling rows by
// powers of two would change no rounding. python/convkit/ops/winograd.py has the same matrices.
#pragma once

#include "simd/vec.h"

namespace convkit::CK_ISA {

constexpr double kWinogradA = 0.625, kWinogradB = 1.5;

namespace winograd_detail {

constexpr double a = kWinogradA, a2 = a * a, a3 = a2 * a, a4 = a2 * a2;
constexpr double b = kWinogradB, b2 = b * b, b3 = b2 * b, b4 = b2 * b2;
constexpr double of_a = 1 / (2 * a2 * (a2 - b2)), of_b = 1 / (2 * b2 * (b2 - a2));

}  // namespace winograd_detail

// 1 / f_j; infinity has none.
constexpr double kWinogradScales[6] = {1 / (winograd_detail::a2 * winograd_detail::b2),
                                       winograd_detail::of_a,
                                       winograd_detail::of_a,
                                       winograd_detail::of_b,
                                       winograd_detail::of_b,
                                       1};

// v = B^T d.
struct WinogradInput {
  template <class T>
  CK_INLINE void operator()(const Vec<T> (&d)[6], Vec<T> (&v)[6]) const {
    using namespace winograd_detail;
    using V = Vec<T>;
    constexpr double sum = a2 + b2, product = a2 * b2;
    // (x^2 - a^2) (x^2 - b^2), and x times that
    v[0] = fma(V(product), d[0], fma(V(-sum), d[2], d[4]));
    v[5] = fma(V(product), d[1], fma(V(-sum), d[3], d[5]));
    // x (x +- a) (x^2 - b^2) in its even and its odd powers; then a and b the other way round
    const V even_a = fma(V(-b2), d[2], d[4]), odd_a = fma(V(-b2), d[1], d[3]);
    v[1] = fma(V(a), odd_a, even_a);
    v[2] = fma(V(-a), odd_a, even_a);
    const V even_b = fma(V(-a2), d[2], d[4]), odd_b = fma(V(-a2), d[1], d[3]);
    v[3] = fma(V(b), odd_b, even_b);
    v[4] = fma(V(-b), odd_b, even_b);
  }
};

// u = G g without the division: the polynomial with coefficients g at the points, 2 <= R <= 5.
template <int R>
struct WinogradEvaluate {
  template <class T>
  CK_INLINE void operator()(const Vec<T> (&g)[R], Vec<T> (&u)[6]) const {
    using namespace winograd_detail;
    static_assert(R >= 2 && R <= 5);
    u[0] = g[0];
    at(a, a2, g, u[1], u[2]);
    at(b, b2, g, u[3], u[4]);
    u[5] = g[R - 1];
  }

 private:
  template <class T>
  CK_INLINE static void at(double p, double p2, const Vec<T> (&g)[R], Vec<T>& plus, Vec<T>& minus) {
    using V = Vec<T>;
    V even = g[0], odd = g[1];
    if constexpr (R == 5) {
      even = fma(V(p2), fma(V(p2), g[4], g[2]), even);
    } else if constexpr (R > 2) {
      even = fma(V(p2), g[2], even);
    }
    if constexpr (R > 3) odd = fma(V(p2), g[3], odd);
    plus = fma(V(p), odd, even);
    minus = fma(V(-p), odd, even);
  }
};

// y = A^T m, 2 <= M <= 5.
template <int M>
struct WinogradOutput {
  template <class T>
  CK_INLINE void operator()(const Vec<T> (&m)[6], Vec<T> (&y)[M]) const {
    using namespace winograd_detail;
    using V = Vec<T>;
    static_assert(M >= 2 && M <= 5);
    const V even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + (even_a + even_b);
    y[1] = power<1>(odd_a, odd_b, a, b, m[5]);
    if constexpr (M > 2) y[2] = power<2>(even_a, even_b, a2, b2, m[5]);
    if constexpr (M > 3) y[3] = power<3>(odd_a, odd_b, a3, b3, m[5]);
    if constexpr (M > 4) y[4] = power<4>(even_a, even_b, a4, b4, m[5]);
  }

 private:
  // Row I of A^T; the point at infinity belongs to the last one.
  template <int I, class T>
  CK_INLINE static Vec<T> power(Vec<T> at_a, Vec<T> at_b, double a, double b, Vec<T> last) {
    const Vec<T> with_b = I == M - 1 ? fma(Vec<T>(b), at_b, last) : Vec<T>(b) * at_b;
    return fma(Vec<T>(a), at_a, with_b);
  }
};

// store(i, j, value) of the F X F^T of a square X of N x N vectors that load(i, j) gives, where F
// is one of the above with M results.
template <class T, int N, int M, class F, class Load, class Store>
CK_INLINE void winograd_square(const F& transform, const Load& load, const Store& store) {
  Vec<T> between[M][N];
#pragma GCC unroll 6
  for (int j = 0; j < N; ++j) {
    Vec<T> column[N], result[M];
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) column[i] = load(i, j);
    transform(column, result);
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) between[i][j] = result[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
    Vec<T> result[M];
    transform(between[i], result);
#pragma GCC unroll 6
    for (int j = 0; j < M; ++j) store(i, j, result[j]);
  }
}

}  // namespace convkit::CK_ISA
