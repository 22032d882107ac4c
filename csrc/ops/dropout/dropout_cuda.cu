#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/dropout/dropout_stage.cuh"

namespace convkit::cuda {
namespace {

// A thread takes the four elements of a block of the generator, in order whatever T is.
template <class T>
struct Dropout {
  const T* x;
  T* y;
  int64_t n;
  T scale;
  int32_t threshold;
  uint32_t stream;
  bool packs;
  const StepBlock* step;

  CK_DEVICE void operator()(int64_t block) const {
    const Philox4 words = philox_block(step->seed, stream, static_cast<uint64_t>(step->step),
                                       static_cast<uint64_t>(block));
    const auto kept = [&](T value, int k) {
      return static_cast<int32_t>(words.v[k] >> 8) >= threshold ? value * scale : T(0);
    };
    const int64_t i = 4 * block;
    if (packs && i + 4 <= n) {
      Pack<T, 4> values = load<4>(x + i);
      CK_UNROLL
      for (int k = 0; k < 4; ++k) values.v[k] = kept(values.v[k], k);
      store(y + i, values);
    } else {
      CK_UNROLL
      for (int k = 0; k < 4; ++k)
        if (i + k < n) y[i + k] = kept(x[i + k], k);
    }
  }
};

void dropout(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const DropoutParams& params = call.as<DropoutParams>();
    const int64_t n = call[1].size();
    const T *const x = call[0].as<T>(), *const y = call[1].as<T>();
    for_each(call, ceil_div(n, 4),
             Dropout<T>{x, call[1].as<T>(), n, dropout_scale<T>(params), dropout_threshold(params),
                        static_cast<uint32_t>(params.stream), packable(x, y), call.step});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &dropout},
    {"backward", "cuda_simple", kFloats, &dropout},
    sample_row<DropoutStage>("forward"),
    sample_row<DropoutStage>("backward"),
};

}  // namespace

extern const Table dropout_cuda_table = {"dropout", rows};

}  // namespace convkit::cuda
