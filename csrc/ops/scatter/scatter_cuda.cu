#include "cuda/kernel.h"
#include "cuda/launch.cuh"
#include "ops/scatter/scatter.h"

namespace convkit::cuda {
namespace {

// A block clears a segment of a row, then puts the values there that belong there.
template <class T>
struct Forward {
  static constexpr int kThreads = 256;
  static constexpr int64_t kSegment = 4096;
  const T* v;
  const int32_t* index;
  T* y;
  int64_t m, size;  // values of a row of v and of y

  CK_DEVICE void operator()() const {
    const int64_t segments = (size + kSegment - 1) / kSegment;
    const int64_t row = blockIdx.x / segments, begin = blockIdx.x % segments * kSegment;
    const int64_t end = begin + kSegment < size ? begin + kSegment : size;
    T* const to = y + row * size;
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) to[i] = 0;
    __syncthreads();
    for (int64_t k = threadIdx.x; k < m; k += kThreads) {
      const int64_t place = index[k];
      if (place >= begin && place < end) to[place] = v[row * m + k];
    }
  }
};

template <class T>
struct Backward {
  const T* dy;
  const int32_t* index;
  T* dv;
  int64_t m, size;

  CK_DEVICE void operator()(int64_t i) const {
    const int64_t row = i / m;
    dv[i] = dy[row * size + index[i - row * m]];
  }
};

void forward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t size = call[2].last();
    launch(
        call, dim3(static_cast<unsigned>(call[2].rows() * ceil_div(size, Forward<T>::kSegment))),
        Forward<T>{call[0].as<T>(), call[1].as<int32_t>(), call[2].as<T>(), call[0].last(), size});
  });
}

void backward(const Call& call) {
  dispatch_float(call[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each(call, call[2].size(),
             Backward<T>{call[0].as<T>(), call[1].as<int32_t>(), call[2].as<T>(), call[2].last(),
                         call[0].last()});
  });
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &forward},
    {"backward", "cuda_simple", kFloats, &backward},
};

}  // namespace

extern const Table scatter_cuda_table = {"scatter", rows};

}  // namespace convkit::cuda
