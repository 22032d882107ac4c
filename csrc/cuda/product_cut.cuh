// Which tile of which part of a product a block makes, for both main loops.
#pragma once

#include "cuda/launch.cuh"

namespace convkit::cuda {

struct ProductCut {
  int terms, split_terms, splits;  // of all; of a part, at most; parts
  int tiles_across;

  struct Place {
    int group, split;
    int top, left;   // of the tile
    int begin, end;  // of the terms
  };
  template <class Shape>
  CK_DEVICE Place place() const {
    // Tiles next to each other run at a time: they share their rows of A.
    const int tile = static_cast<int>(blockIdx.x);
    Place at;
    at.group = static_cast<int>(blockIdx.y);
    at.split = static_cast<int>(blockIdx.z);
    at.top = tile / tiles_across * Shape::kHeight;
    at.left = tile % tiles_across * Shape::kWidth;
    at.begin = at.split * split_terms;
    at.end = terms - at.begin < split_terms ? terms : at.begin + split_terms;
    return at;
  }
};

}  // namespace convkit::cuda
