// The kernels of embedding, best first.
#include "ops/embedding/embedding.h"

namespace convkit {
namespace {

constexpr unsigned kIndices = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);

constexpr Kernel rows[] = {
    {"forward", "cpu_rows", kIndices, CK_PER_ISA(embedding_rows_forward)},
    {"forward", "cpu_naive", kIndices, CK_PER_ISA(embedding_naive_forward)},
    {"backward", "cpu_rows", kIndices, CK_PER_ISA(embedding_rows_backward)},
    {"backward", "cpu_naive", kIndices, CK_PER_ISA(embedding_naive_backward)},
};

}  // namespace

extern const OpTable embedding_table = {"embedding", rows, {}, sizeof(EmbeddingParams)};

}  // namespace convkit
