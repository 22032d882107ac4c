#include <cstring>

#include "core/philox.h"
#include "ops/dropout/dropout_numbers.h"
#include "simd/vec.h"

namespace convkit::CK_ISA {
namespace {

// Counters side by side, one in each 64-bit lane. A word is a lane's low half; what the high half
// holds does not matter until the end.
constexpr int kLanes = kVecBytes / 8;
typedef uint64_t Words __attribute__((vector_size(kVecBytes)));

// Low half times low half: one instruction, which GCC does not find in (a & mask) * b. (The plain
// AVX-512 form makes GCC 12 warn about an undefined register inside its own header.)
CK_INLINE Words multiply(Words a, Words b) {
#if CK_X86_64 && CK_ISA_LEVEL == 2
  return (Words)_mm512_maskz_mul_epu32(-1, (__m512i)a, (__m512i)b);
#elif CK_X86_64 && CK_ISA_LEVEL == 1
  return (Words)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif CK_X86_64
  return (Words)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

constexpr int kBlock = 256;        // values whose words are drawn together
constexpr int64_t kChunk = 16384;  // a multiple of kBlock

struct Stream {
  uint64_t seed;
  uint64_t step;
  uint32_t stream;
};

// a0 b0 a1 b1 ...: the first half of the lanes to p, then the second.
CK_INLINE void store_interleaved(uint32_t* p, Words a, Words b) {
#if CK_X86_64 && CK_ISA_LEVEL == 2
  const Words lower = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  const Words upper = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#elif CK_X86_64 && CK_ISA_LEVEL == 1
  const Words lower = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Words upper = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#else
  const Words lower = __builtin_shufflevector(a, b, 0, 2);
  const Words upper = __builtin_shufflevector(a, b, 1, 3);
#endif
  std::memcpy(p, &lower, sizeof lower);
  std::memcpy(p + 2 * kLanes, &upper, sizeof upper);
}

// The words of kBlock elements from 4*block on, as philox_block gives them.
CK_INLINE void draw(const Stream& s, uint64_t block, uint32_t* words) {
  const Words m0 = Words{} + 0xD2511F53u, m1 = Words{} + 0xCD9E8D57u;
  Words iota;
  for (int l = 0; l < kLanes; ++l) iota[l] = l;
  Words keys[10][2];
  for (uint32_t round = 0; round < 10; ++round) {
    keys[round][0] = Words{} + (static_cast<uint32_t>(s.seed) + round * 0x9E3779B9u);
    keys[round][1] = Words{} + (static_cast<uint32_t>(s.seed >> 32) + round * 0xBB67AE85u);
  }
  for (int first = 0; first < kBlock / 4; first += kLanes) {
    const Words counter = block + first + iota;
    Words c0 = counter, c1 = counter >> 32, c2 = Words{} + s.step, c3 = Words{} + s.stream;
    for (int round = 0; round < 10; ++round) {
      const Words a = multiply(m0, c0), b = multiply(m1, c2);
      c0 = (b >> 32) ^ c1 ^ keys[round][0];
      c1 = b;
      c2 = (a >> 32) ^ c3 ^ keys[round][1];
      c3 = a;
    }
    store_interleaved(words + 4 * first, (c0 & 0xFFFFFFFFu) | (c1 << 32),
                      (c2 & 0xFFFFFFFFu) | (c3 << 32));
  }
}

}  // namespace

void dropout_naive(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const DropoutParams& params = call.as<DropoutParams>();
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    const T scale = dropout_scale<T>(params);
    for (int64_t i = 0; i < call[1].size(); ++i) {
      const double u = philox_uniform(call.step->seed, static_cast<uint32_t>(params.stream),
                                      static_cast<uint64_t>(call.step->step), i);
      y[i] = u >= params.rate ? x[i] * scale : T(0);
    }
  });
}

void dropout_simd(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const DropoutParams& params = call.as<DropoutParams>();
    const T* x = call[0].as<T>();
    T* y = call[1].as<T>();
    const T scale = dropout_scale<T>(params);
    const Stream stream{call.step->seed, static_cast<uint64_t>(call.step->step),
                        static_cast<uint32_t>(params.stream)};
    const int32_t threshold = dropout_threshold(params);
    const Chunks chunks{call[1].size(), kChunk};
    call.pool->parallel_for(chunks.count(), [&](int64_t chunk, int) {
      for (int64_t i = chunks.begin(chunk); i < chunks.end(chunk); i += kBlock) {
        const int64_t left = chunks.end(chunk) - i, n = left < kBlock ? left : kBlock;
        alignas(64) uint32_t words[kBlock];
        draw(stream, static_cast<uint64_t>(i) / 4, words);
        // By way of a buffer: y may be x, and the compiler vectorises only what cannot overlap.
        alignas(64) T kept[kBlock];
        for (int64_t j = 0; j < n; ++j) {
          const T scaled = x[i + j] * scale;  // before the choice, which is then no branch
          kept[j] = static_cast<int32_t>(words[j] >> 8) >= threshold ? scaled : T(0);
        }
        std::memcpy(y + i, kept, n * sizeof(T));
      }
    });
  });
}

}  // namespace convkit::CK_ISA
