// concatenate: runs are copied, of many arrays in one launch, 16 bytes at a time where all are made
// of such pieces.
#include "cuda/kernel.h"
#include "cuda/pack.cuh"
#include "ops/concatenate/concatenate_runs.h"

namespace convkit::cuda {
namespace {

constexpr int kParts = 32;  // of one launch

// Sizes are in units of U. blockIdx.y is the part.
template <class U, bool forward>
struct CopyRuns {
  static constexpr int kThreads = 256;
  struct Part {
    U* data;
    int64_t size, run, offset;  // values, values of a run, where runs begin in the joined array
  };
  Part parts[kParts];
  U* whole;
  int64_t pitch;  // from one run of the joined array to the next

  CK_DEVICE void operator()() const {
    const Part& part = parts[blockIdx.y];
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < part.size; i += step) {
      const int64_t outer = i / part.run;
      U* const joined = whole + outer * pitch + part.offset + (i - outer * part.run);
      if constexpr (forward) {
        *joined = part.data[i];
      } else {
        part.data[i] = *joined;
      }
    }
  }
};

template <class U, bool forward>
void copy(const Call& call, const Tensor& whole, const Tensor* parts, int count, int64_t axis) {
  constexpr int64_t kUnit = sizeof(U);
  CopyRuns<U, forward> copies{{}, whole.as<U>(), runs_of(whole, axis).bytes / kUnit};
  int64_t offset = 0;
  for (int first = 0; first < count; first += kParts) {
    int n = 0;
    int64_t most = 0;
    for (int i = first; i < count && i < first + kParts; ++i) {
      const Runs runs = runs_of(parts[i], axis);
      const int64_t run = runs.bytes / kUnit, size = runs.outer * run;
      if (size > 0) copies.parts[n++] = {parts[i].as<U>(), size, run, offset};
      most = size > most ? size : most;
      offset += run;
    }
    const dim3 grid(blocks_of_packs(most, 1, true), static_cast<unsigned>(n));
    launch(call, grid, copies);
  }
}

template <bool forward>
void copy_runs(const Call& call) {
  const int count = call.count - 1;
  const Tensor& whole = call[forward ? count : 0];
  const Tensor* const parts = call.operands + (forward ? 0 : 1);
  const int64_t axis = call.as<ConcatenateParams>().axis;
  bool packs = packable(whole.data);
  for (int i = 0; i < count; ++i)
    packs = packs && packable(parts[i].data) && runs_of(parts[i], axis).bytes % 16 == 0;
  if (packs) {
    copy<Pack<float, 4>, forward>(call, whole, parts, count, axis);
  } else if (whole.dtype == Dtype::float64) {
    copy<double, forward>(call, whole, parts, count, axis);
  } else {
    copy<float, forward>(call, whole, parts, count, axis);
  }
}

constexpr Kernel rows[] = {
    {"forward", "cuda_simple", kFloats, &copy_runs<true>},
    {"backward", "cuda_simple", kFloats, &copy_runs<false>},
};

}  // namespace

extern const Table concatenate_cuda_table = {"concatenate", rows};

}  // namespace convkit::cuda
