#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/gather_rows/gather_rows_types.h"

namespace convkit::cuda {
namespace {

constexpr int kTogether = 4;  // values of a row that a thread takes

template <class S, class T>
struct Gather {
  const S* source;
  const int64_t* index;  // or null
  T* y;
  int64_t length;  // of a row
  T scale, offset;
  const StepBlock* step;

  template <int n>
  CK_DEVICE void operator()(int64_t i, Width<n>) const {
    const int64_t row = i / length, position = step->sample + row;
    const int64_t from = index ? index[position] : position;
    const Pack<S, n> x = load<n>(source + from * length + (i - row * length));
    Pack<T, n> out;
    CK_UNROLL
    for (int k = 0; k < n; ++k) out.v[k] = static_cast<T>(x.v[k]) * scale + offset;
    store(y + i, out);
  }
};

void forward(const Call& call) {
  dispatch_gather(call, [&](auto s, auto t) {
    using S = decltype(s);
    using T = decltype(t);
    const GatherRowsParams& params = call.as<GatherRowsParams>();
    const int64_t length = row_length(call[2]);
    const Gather<S, T> gather{
        call[0].as<S>(), call[1].as<int64_t>(),        call[2].as<T>(),
        length,          static_cast<T>(params.scale), static_cast<T>(params.offset),
        call.step};
    for_each_pack<kTogether>(call, call[2].size(),
                             length % kTogether == 0 && packable(gather.source, gather.y), gather);
  });
}

constexpr unsigned kSources = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kSources, &forward},
};

}  // namespace

extern const Table gather_rows_cuda_table = {"gather_rows", rows};

}  // namespace convkit::cuda
