#include "cuda/kernel.h"
#include "ops/gather_rows/gather_rows_stage.cuh"

namespace convkit::cuda {
namespace {

constexpr int kTogether = 4;  // values of a row that a thread takes

void forward(const Call& call) {
  dispatch_gather(call, [&](auto s, auto t) {
    using S = decltype(s);
    using T = decltype(t);
    const GatherRowsParams& params = call.as<GatherRowsParams>();
    const int64_t length = row_length(call[2]);
    const GatherRow<S, T> gather{
        call[0].as<S>(), call[1].as<int64_t>(),        call[2].as<T>(),
        length,          static_cast<T>(params.scale), static_cast<T>(params.offset),
        call.step};
    for_each_pack<kTogether>(call, call[2].size(),
                             length % kTogether == 0 && packable(gather.source, gather.y), gather);
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kSources, &forward},
    sample_row<GatherStage>("forward"),
};

}  // namespace

extern const Table gather_rows_cuda_table = {"gather_rows", rows};

}  // namespace convkit::cuda
