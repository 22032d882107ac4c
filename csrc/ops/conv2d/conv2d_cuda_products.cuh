// The passes of conv2d as products of matrices, whatever their main loop: cuda/gemm.cuh or
// cuda/mma.cuh.
#pragma once

#include "ops/conv2d/conv2d_cuda_loaders.cuh"
#include "ops/conv2d/conv2d_cuda_products.h"

namespace convkit::cuda {

using enum Conv2dPass;

// Rows are pixels, or in backward_weight the taps and channels of dw, with db as one row more.
template <Conv2dPass pass>
Conv2dShape shape_of(const convkit::Call& call) {
  if constexpr (pass == forward) return conv2d_shape(call[0], call[1], call[3]);
  if constexpr (pass == backward_input) return conv2d_shape(call[3], call[1], call[0]);
  return conv2d_shape(call[1], call[2], call[0]);
}

template <Conv2dPass pass>
ProductSize size_of(const Conv2dShape& s, int64_t groups) {
  const int64_t taps = checked_product(s.KH, s.KW), C = s.C / groups, K = s.K / groups;
  const int64_t places = checked_product(s.N, s.P, s.Q);
  if constexpr (pass == forward) return {places, K, checked_product(taps, C), groups};
  if constexpr (pass == backward_input)
    return {checked_product(s.N, s.H, s.W), C, checked_product(taps, K), groups};
  return {checked_product(taps, C) + 1, K, places, groups};
}

// dx is then what the flipped filters give over dy.
inline bool steps_of_one(const Conv2dParams& params) {
  return params.stride_h == 1 && params.stride_w == 1;
}

// Whether channels of the image come in fours, without which there are no registers for large
// tiles.
inline bool in_fours(Conv2dPass pass, const Conv2dShape& s, const Conv2dParams& params) {
  const int64_t C = s.C / params.groups, K = s.K / params.groups;
  return pass == backward_input ? steps_of_one(params) && K % 4 == 0 : C % 4 == 0 && K % 4 == 0;
}

inline Conv2dParams flipped(const Conv2dShape& s, const Conv2dParams& params) {
  Conv2dParams f = params;
  f.pad_top = (s.KH - 1) * params.dilation_h - params.pad_top;
  f.pad_left = (s.KW - 1) * params.dilation_w - params.pad_left;
  return f;
}

template <class Shape, bool fours>
void run_forward(const Call& call, const Conv2dShape& s, const Conv2dParams& params,
                 const ProductSize& size) {
  ProductOutput out;
  out.c = call[3].as<float>();
  out.bias = call[2].as<float>();
  out.rows_of_c = static_cast<int>(size.rows);
  out.activation = static_cast<Activation>(params.activation);
  out.alpha = static_cast<float>(params.alpha);
  out.by_four = aligned(out.c);
  const ImagePlaces places(call[0].as<float>(), s.N, s.H, s.W, s.C, s.P, s.Q, params);
  launch_product<Shape>(call, size, PlacesAlongFilter<fours>{places, FilterRuns(params, s.KW, s.C)},
                        RowsOfTerms<fours>(call[1].as<float>(), size.columns, size.groups), out);
}

template <class Shape, bool fours>
void run_backward_input(const Call& call, const Conv2dShape& s, const Conv2dParams& params,
                        const ProductSize& size) {
  ProductOutput out;
  out.c = call[3].as<float>();
  out.x = call[2].as<float>();
  out.rows_of_c = static_cast<int>(size.rows);
  out.through = static_cast<Activation>(params.through);
  out.through_alpha = static_cast<float>(params.through_alpha);
  out.by_four = aligned(out.c);
  const auto* const dy = call[0].as<float>();
  const bool flip = steps_of_one(params);
  const ChannelsAlongTaps<fours> filters(call[1].as<float>(), s, params, flip);
  if (fours || flip) {
    const ImagePlaces places(dy, s.N, s.P, s.Q, s.K, s.H, s.W, flipped(s, params));
    launch_product<Shape>(
        call, size, PlacesAlongFilter<fours>{places, FilterRuns(params, s.KW, s.K)}, filters, out);
  } else if constexpr (!fours) {
    launch_product<Shape>(call, size, PixelsAlongTaps(dy, s, params), filters, out);
  }
}

template <class Shape, bool fours>
void run_backward_weight(const Call& call, const Conv2dShape& s, const Conv2dParams& params,
                         const ProductSize& size) {
  ProductOutput out;
  out.c = call[2].as<float>();
  out.last_row = call[3].as<float>();
  out.rows_of_c = static_cast<int>(size.rows) - 1;
  out.by_four = aligned(out.c) && aligned(out.last_row);
  const ImagePlaces places(call[1].as<float>(), s.N, s.H, s.W, s.C, s.P, s.Q, params);
  launch_product<Shape>(
      call, size, FilterAlongPlaces<fours>{places, FilterRuns(params, s.KW, s.C), out.rows_of_c},
      RowsOfTerms<fours>(call[0].as<float>(), size.columns, size.groups), out);
}

// Tiles: of cuda/product_plan.cuh or of cuda/mma.cuh.
template <Conv2dPass pass, class Tiles>
void conv2d_product(const Call& call) {
  const auto& params = call.as<Conv2dParams>();
  const Conv2dShape s = shape_of<pass>(call);
  const ProductSize size = size_of<pass>(s, params.groups);
  if constexpr (Tiles::kFours)
    if (!aligned(call)) return conv2d_product<pass, SmallTiles>(call);
  Tiles::with(size.columns, [&](auto tile) {
    using Shape = decltype(tile);
    constexpr bool fours = Tiles::kFours;
    if constexpr (pass == forward) run_forward<Shape, fours>(call, s, params, size);
    if constexpr (pass == backward_input) run_backward_input<Shape, fours>(call, s, params, size);
    if constexpr (pass == backward_weight) run_backward_weight<Shape, fours>(call, s, params, size);
  });
}

template <Conv2dPass pass, class Tiles>
bool conv2d_product_supports(const convkit::Call& call) {
  const auto& p = call.as<Conv2dParams>();
  const Conv2dShape s = shape_of<pass>(call);
  // Places in an image, and beyond it, are of 32 bits.
  constexpr int64_t kMost = int64_t{1} << 30;
  const int64_t width = s.C > s.K ? s.C : s.K;
  const int64_t h =
      checked_sum(s.H, s.P, p.pad_top, p.pad_bottom, checked_product(s.KH, p.dilation_h));
  const int64_t v =
      checked_sum(s.W, s.Q, p.pad_left, p.pad_right, checked_product(s.KW, p.dilation_w));
  if (!Tiles::available() || (Tiles::kFours && !in_fours(pass, s, p))) return false;
  return product_fits(size_of<pass>(s, p.groups)) && h + p.stride_h < kMost &&
         checked_product(v + p.stride_w, width) < kMost && checked_product(s.H, s.W, s.C) < kMost &&
         checked_product(s.P, s.Q, s.K) < kMost && checked_product(s.C, s.K) < kMost;
}

template <Conv2dPass pass, class Tiles>
Workspace conv2d_product_workspace(const convkit::Call& call) {
  return product_workspace<Tiles>(
      size_of<pass>(shape_of<pass>(call), call.as<Conv2dParams>().groups));
}

#define CK_INSTANTIATE(pass, Tiles)                                         \
  template void conv2d_product<pass, Tiles>(const Call&);                   \
  template bool conv2d_product_supports<pass, Tiles>(const convkit::Call&); \
  template Workspace conv2d_product_workspace<pass, Tiles>(const convkit::Call&);
#define CK_INSTANTIATE_ALL(Tiles)                   \
  CK_INSTANTIATE(Conv2dPass::forward, Tiles)        \
  CK_INSTANTIATE(Conv2dPass::backward_input, Tiles) \
  CK_INSTANTIATE(Conv2dPass::backward_weight, Tiles)

}  // namespace convkit::cuda
