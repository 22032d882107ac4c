#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/pool2d/pool2d_cuda.cuh"
#include "ops/pool2d/pool2d_stage.cuh"

namespace convkit::cuda {

using namespace pool2d;

namespace {

// f(T{}, how many values a thread takes): four, where the channels of all arrays are by fours.
template <class F>
void choose(const Call& call, const F& f) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (sizeof(T) == 4) {
      bool by_four = call[0].last() % 4 == 0;
      for (int i = 0; i < call.count; ++i) by_four = by_four && packable(call[i].as<float>());
      if (by_four) return f(zero, std::integral_constant<int, 4>{});
    }
    f(zero, std::integral_constant<int, 1>{});
  });
}

// f with a value of the type of the winners' positions.
template <class F>
void choose_index(const Tensor& argmax, const F& f) {
  if (argmax.dtype == Dtype::uint8) {
    f(uint8_t{});
  } else {
    f(int32_t{});
  }
}

void max_forward(const Call& call) {
  const PoolGeometry g(call[0], call[1], call.as<Pool2dParams>());
  choose(call, [&](auto zero, auto values) {
    choose_index(call[2], [&](auto index) {
      using T = decltype(zero);
      using Index = decltype(index);
      for_each(call, call[1].size() / values,
               MaxForward<T, Index, decltype(values)::value>{g, call[0].as<T>(), call[1].as<T>(),
                                                             call[2].as<Index>()});
    });
  });
}

void max_backward(const Call& call) {
  const PoolGeometry g(call[3], call[0], call.as<Pool2dParams>());
  choose(call, [&](auto zero, auto values) {
    choose_index(call[1], [&](auto index) {
      using T = decltype(zero);
      using Index = decltype(index);
      for_each(call, call[3].size() / values,
               MaxBackward<T, Index, decltype(values)::value>{
                   g, call[0].as<T>(), call[1].as<Index>(), call[2].as<T>(), call[3].as<T>()});
    });
  });
}

void average_forward(const Call& call) {
  const PoolGeometry g(call[0], call[1], call.as<Pool2dParams>());
  choose(call, [&](auto zero, auto values) {
    using T = decltype(zero);
    for_each(call, call[1].size() / values,
             AverageForward<T, decltype(values)::value>{g, call[0].as<T>(), call[1].as<T>()});
  });
}

void average_backward(const Call& call) {
  const PoolGeometry g(call[2], call[0], call.as<Pool2dParams>());
  choose(call, [&](auto zero, auto values) {
    using T = decltype(zero);
    for_each(call, call[2].size() / values,
             AverageBackward<T, decltype(values)::value>{g, call[0].as<T>(), call[1].as<T>(),
                                                         call[2].as<T>()});
  });
}

constexpr Kernel rows[] = {
    {"max_forward", "cuda_simple", kFloats, &max_forward},
    {"max_backward", "cuda_simple", kFloats, &max_backward},
    {"average_forward", "cuda_simple", kFloats, &average_forward},
    {"average_backward", "cuda_simple", kFloats, &average_backward},
    sample_row<MaxForwardStage>("max_forward"),
    sample_row<MaxBackwardStage>("max_backward"),
    sample_row<AverageForwardStage>("average_forward"),
    sample_row<AverageBackwardStage>("average_backward"),
};

}  // namespace

extern const Table pool2d_cuda_table = {"pool2d", rows};

}  // namespace convkit::cuda
