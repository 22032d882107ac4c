// gather_rows by the value, and as a stage.
#pragma once

#include "cuda/pack.cuh"
#include "cuda/stages.cuh"
#include "ops/gather_rows/gather_rows_types.h"

namespace convkit::cuda {

constexpr unsigned kSources = kFloats | bit(Dtype::uint8) | bit(Dtype::int32) | bit(Dtype::int64);

template <class S, class T>
struct GatherRow {
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

// y is float32, or int32 labels.
struct GatherStage : StageBody {
  static constexpr StageKind kKind = StageKind::gather_rows;
  static constexpr unsigned kDtypes = kSources;
  static constexpr unsigned kBySample = operands(2);
  const void* source;
  const int64_t* index;
  void* y;
  int64_t length;
  Dtype source_dtype, dtype;
  float scale, offset;
  const StepBlock* step;

  explicit GatherStage(const convkit::Call& call)
      : source(call[0].data),
        index(call[1].as<int64_t>()),
        y(call[2].data),
        length(row_length(call[2])),
        source_dtype(call[0].dtype),
        dtype(call[2].dtype),
        scale(static_cast<float>(call.as<GatherRowsParams>().scale)),
        offset(static_cast<float>(call.as<GatherRowsParams>().offset)),
        step(call.step) {}

  static bool supports(const convkit::Call& call) { return call[2].dtype != Dtype::float64; }

  template <class S>
  CK_DEVICE void sample_from(const Samples& s, const S* from) const {
    if (dtype == Dtype::float32) {
      const GatherRow<S, float> row{from,   index, static_cast<float*>(y), length, scale,
                                    offset, step};
      s.each(length, [&](int64_t i) { row(i, Width<1>{}); });
    } else {
      const GatherRow<S, int32_t> row{from, index, static_cast<int32_t*>(y), length, 1, 0, step};
      s.each(length, [&](int64_t i) { row(i, Width<1>{}); });
    }
  }
  CK_DEVICE void sample(const Samples& s) const {
    switch (source_dtype) {
      case Dtype::float32:
        return sample_from(s, static_cast<const float*>(source));
      case Dtype::float64:
        return sample_from(s, static_cast<const double*>(source));
      case Dtype::uint8:
        return sample_from(s, static_cast<const uint8_t*>(source));
      case Dtype::int32:
        return sample_from(s, static_cast<const int32_t*>(source));
      case Dtype::int64:
        return sample_from(s, static_cast<const int64_t*>(source));
    }
  }
};

}  // namespace convkit::cuda
