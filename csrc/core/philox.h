// Philox 4x32-10: the counter-based generator behind dropout masks, shuffles and initial weights
// (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
// Being a pure function of (key, counter), it needs no state, runs in any order on any number of
// threads, and gives the same numbers on NumPy (python/convkit/random.py), CPU and CUDA.
//
// Layout, the same in all three:
//   key     = (seed low 32 bits, seed high 32 bits)
//   counter = (i/4 low 32 bits, i/4 high 32 bits, step mod 2^32, stream)
//   element i takes word i % 4 of the four that come out.
// `stream` numbers the consumer (one per dropout layer), `step` the training step.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace convkit {

// A plain array in a struct: std::array's members are not always_inline (see core/isa.h).
struct Philox4 {
  uint32_t v[4];
};

struct PhiloxKey {
  uint32_t v[2];
};

CK_INLINE constexpr Philox4 philox4x32(Philox4 c, PhiloxKey k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c.v[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * c.v[2];
    c = Philox4{{static_cast<uint32_t>(b >> 32) ^ c.v[1] ^ k.v[0], static_cast<uint32_t>(b),
                 static_cast<uint32_t>(a >> 32) ^ c.v[3] ^ k.v[1], static_cast<uint32_t>(a)}};
    k.v[0] += 0x9E3779B9u;  // the golden ratio and sqrt(3) - 1: Weyl sequences
    k.v[1] += 0xBB67AE85u;
  }
  return c;
}

// [0, 1) in steps of 2^-24: every value is exact in float32, and 1 itself never comes out.
CK_INLINE constexpr float uniform24(uint32_t bits) {
  return static_cast<float>(bits >> 8) * (1.0f / 16777216.0f);
}

// The four words that elements 4*block .. 4*block+3 take.
CK_INLINE constexpr Philox4 philox_block(uint64_t seed, uint32_t stream, uint64_t step,
                                         uint64_t block) {
  return philox4x32(Philox4{{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                             static_cast<uint32_t>(step), stream}},
                    PhiloxKey{{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}});
}

// Element i as a float in [0, 1).
CK_INLINE constexpr float philox_uniform(uint64_t seed, uint32_t stream, uint64_t step,
                                         uint64_t i) {
  return uniform24(philox_block(seed, stream, step, i / 4).v[i % 4]);
}

namespace philox_detail {

CK_INLINE constexpr bool same(Philox4 a, Philox4 b) {
  return a.v[0] == b.v[0] && a.v[1] == b.v[1] && a.v[2] == b.v[2] && a.v[3] == b.v[3];
}

// The known answers published with Random123 (kat_vectors).
static_assert(same(philox4x32({{0, 0, 0, 0}}, {{0, 0}}),
                   {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
static_assert(same(philox4x32({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
                              {{0xffffffff, 0xffffffff}}),
                   {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
static_assert(same(philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
                              {{0xa4093822, 0x299f31d0}}),
                   {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));

}  // namespace philox_detail
}  // namespace convkit
