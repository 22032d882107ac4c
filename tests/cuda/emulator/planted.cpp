// planted [seed]: runs the kernels of kernels.h, compares their results with sums in double, prints
// the bits of all of them, and returns 1 where something is wrong.
#include <bit>

#include "check.h"
#include "kernels.h"

using namespace check;
using namespace convkit;
using namespace convkit::cuda;

namespace {

constexpr int M = 80, N = 72, K = 48;

std::vector<double> product(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<double> c(M * N);
  for (int i = 0; i < M; ++i)
    for (int k = 0; k < K; ++k)
      for (int j = 0; j < N; ++j) c[i * N + j] += double{a[i * K + k]} * b[k * N + j];
  return c;
}

// The largest |c - exact|; NaN if a number is NaN.
double worst(const std::vector<float>& c, const std::vector<double>& exact) {
  double most = 0;
  for (std::size_t i = 0; i < c.size(); ++i) {
    const double error = std::fabs(c[i] - exact[i]);
    if (!(error <= most)) most = error;
  }
  return most;
}

uint64_t bits_of(uint64_t hash, const std::vector<float>& values) {
  for (const float v : values) hash = (hash ^ std::bit_cast<uint32_t>(v)) * 1099511628211u;
  return hash;
}

void run() {
  const Call call;
  const std::vector<float> a_host = numbers(M * K, 1), b_host = numbers(K * N, 2);
  const std::vector<double> exact = product(a_host, b_host);
  const Device<float> a(a_host), b(b_host), c(M * N), tf32(M * N), y(a_host), partial(4), total(1);
  Device<float> copied(std::vector<float>(M * K, 0.0f));
  const Device<unsigned> ticket(std::vector<unsigned>{0});

  if (CK_PLANTED_BUG == 10) cudaFree(copied);
  for_each(call, M * K, Axpy{2.0f, a, y});
  for_each(call, M * K / 4 - 1, Copy4{a, copied});
  launch(call, dim3((N + 63) / 64, (M + 63) / 64), TileProduct{a, b, c, M, N, K});
  launch(call, dim3(N / 8, M / 16), WarpProduct{a, b, tf32, M, N, K});
  launch(call, dim3(4), TwoLevelSum{a, M * K, partial, ticket, total});

  double sum = 0;
  for (const float v : a_host) sum += v;
  std::vector<double> tripled(a_host.begin(), a_host.end());
  for (double& v : tripled) v *= 3;
  CHECK(worst(y.host(), tripled) <= 3 * 0x1p-24);
  // |products| < 1: K roundings of sums below K in float, and two factors of 11 bits in TF32.
  CHECK(worst(c.host(), exact) <= K * K * 0x1p-24);
  CHECK(worst(tf32.host(), exact) <= K * 2.1 * 0x1p-12 + K * K * 0x1p-24);
  CHECK(worst(total.host(), {sum}) <= M * K * 32 * 0x1p-24);
  uint64_t hash = 14695981039346656037u;
  for (const Device<float>* values : {&y, &c, &tf32, &total}) hash = bits_of(hash, values->host());
  std::printf("bits %016llx\n", static_cast<unsigned long long>(hash));
}

}  // namespace

int main(int count, char** arguments) {
#if CK_CUDA_EMULATED
  if (count > 1) emulator::seed(std::strtoull(arguments[1], nullptr, 10));
  const std::string error = error_of(run);
  if (!error.empty()) std::printf("error: %s\n", error.c_str());
  return failures != 0 || !error.empty();
#else
  static_cast<void>(count), static_cast<void>(arguments);
  run();
  return failures != 0 || cudaDeviceSynchronize() != cudaSuccess;
#endif
}
