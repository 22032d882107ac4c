// Number formats, small matrices, copies and reductions.
#include "check.h"
#include "checks.h"

using namespace check;
using namespace convkit;
using namespace convkit::cuda;

namespace {

#if CK_CUDA_EMULATED

// The nearest of all numbers of a 16-bit format, ties to the even one, by looking at both
// neighbours.
template <class F>
void check_rounding(const F& value_of, uint16_t (*round)(float), uint16_t infinity) {
  for (uint32_t h = 0; h + 1 < infinity; ++h) {
    const auto low = static_cast<uint16_t>(h), high = static_cast<uint16_t>(h + 1);
    const float a = value_of(low), b = value_of(high), middle = a / 2 + b / 2;
    CHECK(round(a) == low && round(-a) == (low | 0x8000));
    CHECK(round(middle) == (h % 2 == 0 ? low : high));
    CHECK(round(nextafterf(middle, a)) == low && round(nextafterf(middle, b)) == high);
  }
  CHECK(round(INFINITY) == infinity && round(-INFINITY) == (infinity | 0x8000));
  CHECK(round(value_of(static_cast<uint16_t>(infinity - 1)) * 1.01f) == infinity);
  CHECK(isnan(value_of(round(NAN))));
}

void check_formats() {
  check_rounding([](uint16_t h) { return emulator::float_of(uint32_t{h} << 16); },
                 &emulator::bfloat16_of, 0x7F80);
  check_rounding(&emulator::float_of_half, &emulator::half_of, 0x7C00);
  CHECK(emulator::float_of_half(0x3555) == 0x555p-12f && emulator::float_of_half(1) == 0x1p-24f);
  CHECK(static_cast<float>(__nv_bfloat16(1.00390625f)) == 1.0f);
  CHECK(__low2float(__floats2bfloat162_rn(2.0f, 3.0f)) == 2.0f);
  CHECK(__ffs(24) == 4 && __ffs(0) == 0 && __clz(1) == 31 && max(-3, 4) == 4);
}

#endif

// What the device's own conversions give.
struct Conversions {
  static constexpr int kThreads = 1;
  uint32_t* out;
  CK_DEVICE void operator()() const {
    out[0] = to_tf32(1.0f + 0x1p-11f);  // ties away from zero
    out[1] = to_tf32(-1.0f - 0x1p-12f);
    out[2] = __float_as_uint(__bfloat162float(__float2bfloat16_rn(1.00390625f)));
    out[3] = __float_as_uint(__half2float(__float2half_rn(0x1.8p-24f)));
    out[4] = __byte_perm(0x33221100, 0x77665544, 0x7250);
    out[5] = __brev(2);
    out[6] = __umulhi(0x80000000, 6);
    out[7] = __float_as_uint(min(2.0f, NAN));
  }
};

void check_conversions() {
  const Device<uint32_t> out(8);
  launch(Call{}, dim3(1), Conversions{out});
  const std::vector<uint32_t> wanted{0x3F802000, 0xBF800000, 0x3F800000, 0x34000000,
                                     0x77225500, 0x40000000, 3,          0x40000000};
  CHECK(out.host() == wanted);
}

// ---- D += A B by one warp, as the PTX ISA lays the fragments out

struct Tf32Product {
  static constexpr int kThreads = 32;
  const float *a, *b;  // (16, 8), (8, 8)
  float* d;            // (16, 8)
  CK_DEVICE void operator()() const {
    const int g = threadIdx.x / 4, q = threadIdx.x % 4;
    const uint32_t fa[4] = {__float_as_uint(a[g * 8 + q]), __float_as_uint(a[(g + 8) * 8 + q]),
                            __float_as_uint(a[g * 8 + q + 4]),
                            __float_as_uint(a[(g + 8) * 8 + q + 4])};
    const uint32_t fb[2] = {__float_as_uint(b[q * 8 + g]), __float_as_uint(b[(q + 4) * 8 + g])};
    float fd[4];
    for (int i = 0; i < 4; ++i) fd[i] = d[(g + i / 2 * 8) * 8 + 2 * q + i % 2];
    mma_m16n8k8_tf32(fd, fa, fb);
    for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * q + i % 2] = fd[i];
  }
};

// The same in bfloat16, K = 16, with fragments from shared memory by ldmatrix.
struct Bf16Product {
  static constexpr int kThreads = 32;
  const float *a, *b;  // (16, 16), (16, 8)
  float* d;            // (16, 8)
  CK_DEVICE void operator()() const {
    CK_SHARED(__nv_bfloat16, a_tile, [16][24]);
    CK_SHARED(__nv_bfloat16, b_tile, [16][8]);
    const int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) a_tile[i / 16][i % 16] = __float2bfloat16(a[i]);
    for (int i = lane; i < 128; i += 32) b_tile[i / 8][i % 8] = __float2bfloat16(b[i]);
    __syncwarp();
    uint32_t fa[4], fb[2], halves[2], first[1];
    ldmatrix<4>(fa, &a_tile[lane % 16][lane / 16 * 8]);
    ldmatrix<2, true>(fb, &b_tile[lane % 16][0]);
    float fd[4] = {};
    mma_m16n8k16_bf16(fd, fa, fb);
    // Loaded in other ways, the registers are the same.
    ldmatrix<2>(halves, &a_tile[lane % 16][8]);
    ldmatrix<1, true>(first, &b_tile[lane % 8][0]);
    if (halves[0] != fa[2] || halves[1] != fa[3] || first[0] != fb[0]) fd[0] = NAN;
    for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = fd[i];
  }
};

// Small integers: products and sums are exact, so every misplaced number shows.
std::vector<float> integers(std::size_t n, uint32_t seed) {
  std::vector<float> values = numbers(n, seed);
  for (float& v : values) v = floorf(v * 16.0f);
  return values;
}

void check_products() {
  for (const int depth : {8, 16}) {
    const std::vector<float> a = integers(16 * depth, 3), b = integers(8 * depth, 4);
    const std::vector<float> start = depth == 8 ? integers(128, 5) : std::vector<float>(128, 0.0f);
    const Device<float> device_a(a), device_b(b), d(start);
    if (depth == 8)
      launch(Call{}, dim3(1), Tf32Product{device_a, device_b, d});
    else
      launch(Call{}, dim3(1), Bf16Product{device_a, device_b, d});
    const std::vector<float> got = d.host();
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 8; ++j) {
        float sum = start[i * 8 + j];
        for (int k = 0; k < depth; ++k) sum += a[i * depth + k] * b[k * 8 + j];
        CHECK(got[i * 8 + j] == sum);
      }
  }
  // The unit drops the low 13 bits of what it is given.
  std::vector<float> a(128, 0.0f), b(64, 0.0f);
  a[0] = 1.0f + 0x1p-11f;
  b[0] = 1.0f;
  const Device<float> device_a(a), device_b(b), d(std::vector<float>(128, 0.0f));
  launch(Call{}, dim3(1), Tf32Product{device_a, device_b, d});
  CHECK(d.host()[0] == 1.0f);
}

// ---- asynchronous copies

struct Copies {
  static constexpr int kThreads = 32;
  const float* x;
  float* out;  // [5][32]
  CK_DEVICE void operator()() const {
    CK_SHARED(float, by4, [32]);
    CK_SHARED(float, by8, [64]);
    CK_SHARED(float, by16, [128]);
    const int t = threadIdx.x;
    by4[t] = 5.0f;
    cp_async<4>(&by4[t], &x[t], t % 2 == 0);
    cp_async_commit();
    cp_async<8>(&by8[2 * t], &x[2 * t]);
    cp_async<16>(&by16[4 * t], &x[4 * t]);
    cp_async_commit();
    out[t] = by4[t];  // on its way: NaN
    cp_async_wait<1>();
    out[32 + t] = by4[t];
    out[64 + t] = by8[2 * t + 1];
    cp_async_wait<0>();
    out[96 + t] = by8[2 * t + 1];
    out[128 + t] = by16[4 * t + 3];
  }
};

#if CK_CUDA_EMULATED
struct Misaligned {
  static constexpr int kThreads = 1;
  const float* x;
  CK_DEVICE void operator()() const {
    CK_SHARED(float, tile, [8]);
    cp_async<16>(&tile[1], x);
  }
};
#endif

void check_copies() {
  std::vector<float> x(128);
  for (int i = 0; i < 128; ++i) x[i] = static_cast<float>(i);
  const Device<float> device_x(x), out(160);
  launch(Call{}, dim3(1), Copies{device_x, out});
  const std::vector<float> got = out.host();
  for (int t = 0; t < 32; ++t) {
    CHECK(!CK_CUDA_EMULATED || (isnan(got[t]) && isnan(got[64 + t])));
    CHECK(got[32 + t] == (t % 2 == 0 ? x[t] : 0.0f));
    CHECK(got[96 + t] == x[2 * t + 1] && got[128 + t] == x[4 * t + 3]);
  }
#if CK_CUDA_EMULATED
  CHECK_SAYS(error_of([&] { launch(Call{}, dim3(1), Misaligned{device_x}); }), "not a multiple");
#endif
}

// ---- reductions

template <int threads, class T>
struct Reductions {
  static constexpr int kThreads = threads;
  const T* x;
  T* out;  // [4][threads]
  CK_DEVICE void operator()() const {
    const int t = threadIdx.x;
    out[t] = block_sum<threads>(x[t]);
    out[threads + t] = block_max<threads>(x[t]);
    out[2 * threads + t] = block_min<threads>(x[t]);
    out[3 * threads + t] = warp_sum<8>(x[t]);
  }
};

template <int threads, class T>
void check_reductions() {
  std::vector<T> x(threads);
  for (int i = 0; i < threads; ++i) x[i] = static_cast<T>((i * 37 + 11) % 101 - 50);
  T sum = 0, most = x[0], least = x[0];
  for (const T v : x) {
    sum += v;
    most = v > most ? v : most;
    least = v < least ? v : least;
  }
  const Device<T> device_x(x), out(4 * threads);
  launch(Call{}, dim3(1), Reductions<threads, T>{device_x, out});
  const std::vector<T> got = out.host();
  for (int t = 0; t < threads; ++t) {
    CHECK(got[t] == sum && got[threads + t] == most && got[2 * threads + t] == least);
    T eight = 0;
    for (int i = t / 8 * 8; i < t / 8 * 8 + 8; ++i) eight += x[i];
    CHECK(got[3 * threads + t] == eight);
  }
}

// The largest number is NaN if one of them is, wherever it stands.
void check_nan() {
  for (const int at : {0, 1, 17, 31, 32, 95}) {
    std::vector<float> x(96, 1.0f);
    x[at] = NAN;
    const Device<float> device_x(x), out(4 * 96);
    launch(Call{}, dim3(1), Reductions<96, float>{device_x, out});
    const std::vector<float> got = out.host();
    for (int t = 0; t < 3 * 96; ++t) CHECK(isnan(got[t]));
  }
}

}  // namespace

void check_numbers() {
#if CK_CUDA_EMULATED
  check_formats();
#endif
  check_conversions();
  check_products();
  check_copies();
  check_reductions<32, float>();
  check_reductions<96, double>();
  check_reductions<192, int>();
  check_reductions<256, float>();
  check_reductions<1024, int64_t>();
  check_nan();
}
