// The kernels of embedding, best first.
#include "ops/embedding/embedding.h"

namespace convkit {
namespace {

constexpr unsigned kIndices = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);

// Where the positions of each row begin, and the positions in order of their rows.
int64_t sorted_positions(const Call& call) {
  return (call[2].shape[0] + 1 + call[0].size()) * static_cast<int64_t>(sizeof(int64_t));
}

constexpr Kernel rows[] = {
    {"forward", "cpu_rows", kIndices, CK_PER_ISA(embedding_rows_forward)},
    {"forward", "cpu_naive", kIndices, CK_PER_ISA(embedding_naive_forward)},
    {"backward", "cpu_rows", kIndices, CK_PER_ISA(embedding_rows_backward), nullptr,
     sorted_positions},
    {"backward", "cpu_naive", kIndices, CK_PER_ISA(embedding_naive_backward)},
};

}  // namespace

extern const OpTable embedding_table = {"embedding", rows, {}, sizeof(EmbeddingParams)};

}  // namespace convkit
