// Loaders that make the matrices of a convolution (cuda/product_loader.cuh) from images and filters
// where they lie. A row of an image is one stretch of numbers, columns and channels; in it, what a
// row of a filter meets is one run of KW * C numbers, or with dilation or groups KW runs, one for
// each tap.
#pragma once

#include "cuda/fast_divide.h"
#include "cuda/matrix_loaders.cuh"
#include "ops/conv2d/conv2d.h"

namespace convkit::cuda {

// The terms, or rows, (i, j, r) of a filter: number r of run j of row i.
struct FilterRuns {
  int length, runs;  // of a row of the filter
  int down, across;  // in the image, from row to row and run to run (numbers)
  FastDivide by_length, by_runs;

  FilterRuns(const Conv2dParams& params, int64_t KW, int64_t channels)
      : down(static_cast<int>(params.dilation_h)),
        across(static_cast<int>(params.dilation_w * channels)) {
    const bool one = params.groups == 1 && (params.dilation_w == 1 || KW == 1);
    length = static_cast<int>(one ? KW * channels : channels / params.groups);
    runs = static_cast<int>(one ? 1 : KW);
    by_length = FastDivide(length);
    by_runs = FastDivide(runs);
  }

  // A term, and where it lies from the first.
  struct Place {
    int r, j, h, at;
  };
  CK_DEVICE Place place(int term) const {
    Place p;
    p.r = term;
    p.j = by_length.divide(p.r);
    const int i = by_runs.divide(p.j);
    p.h = i * down;
    p.at = p.j * across + p.r;
    return p;
  }
  CK_DEVICE void advance(Place& p) const {
    ++p.at;
    if (++p.r < length) return;
    p.r = 0;
    p.at += across - length;
    if (++p.j < runs) return;
    p.j = 0;
    p.at -= runs * across;
    p.h += down;
  }
};

// The image under a filter, whose places are pixels, of a whole batch; along one axis after
// another.
struct ImagePlaces {
  const float* data;
  int height, row;                 // of an image: rows, and numbers in a row
  int64_t image;                   // numbers
  int down, across;                // from place to place
  int top, left;                   // of the first
  int group;                       // channels
  FastDivide by_columns, by_rows;  // of places
  int count;                       // of places
  bool by_four;

  // `filters` x `size` taps at P x Q places of x [N,H,W,C].
  ImagePlaces(const float* x, int64_t N, int64_t H, int64_t W, int64_t C, int64_t P, int64_t Q,
              const Conv2dParams& params)
      : data(x),
        height(static_cast<int>(H)),
        row(static_cast<int>(W * C)),
        image(H * W * C),
        down(static_cast<int>(params.stride_h)),
        across(static_cast<int>(params.stride_w * C)),
        top(static_cast<int>(-params.pad_top)),
        left(static_cast<int>(-params.pad_left * C)),
        group(static_cast<int>(C / params.groups)),
        by_columns(Q),
        by_rows(P),
        count(static_cast<int>(N * P * Q)),
        by_four(group % 4 == 0 && aligned(x)) {}

  // The first number of the image, and where in it the filter begins.
  struct Corner {
    const float* image;
    int h, at;
  };
  CK_DEVICE Corner corner(int place) const {
    int q = place;
    int p = by_columns.divide(q);
    const int n = by_rows.divide(p);
    return {data + n * image, p * down + top, q * across + left};
  }
  CK_DEVICE bool inside(int h, int at) const {
    return static_cast<unsigned>(h) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(at) < static_cast<unsigned>(row);
  }
  // Number i, or four of them, of an image, 0 beyond it.
  template <class To>
  CK_DEVICE void one(const float* from, int h, int at, int i, bool wanted, To& to) const {
    to.one(i, from + (h * row + at), wanted && inside(h, at));
  }
  template <class To>
  CK_DEVICE void four(const float* from, int h, int at, To& to) const {
    if (inside(h, at))
      to.four(from + (h * row + at), true);
    else
      to.none();
  }
};

// Rows are places, terms those of the filter. kFours: image.by_four is sure to hold.
template <bool kFours>
struct PlacesAlongFilter {
  static constexpr bool kAlongTerms = true;
  ImagePlaces image;
  FilterRuns filter;

  using Line = ImagePlaces::Corner;
  CK_DEVICE Line line(int x, int group) const {
    if (x >= image.count) return {nullptr, 0, 0};
    Line line = image.corner(x);
    line.at += group * image.group;
    return line;
  }
  template <class To>
  CK_DEVICE void load(const Line& line, int term, int end, To& to) const {
    if (line.image == nullptr || term >= end) return to.none();
    FilterRuns::Place p = filter.place(term);
    if (kFours || image.by_four) {
      image.four(line.image, line.h + p.h, line.at + p.at, to);
    } else {
      CK_UNROLL
      for (int i = 0; i < 4; ++i) {
        image.one(line.image, line.h + p.h, line.at + p.at, i, term + i < end, to);
        filter.advance(p);
      }
    }
  }
};

// Terms are places, rows those of the filter, and behind them a row of ones.
template <bool kFours>
struct FilterAlongPlaces {
  static constexpr bool kAlongTerms = false;
  ImagePlaces image;
  FilterRuns filter;
  int rows;  // of the filter

  struct Line {
    int left;
    FilterRuns::Place place;
  };
  CK_DEVICE Line line(int x, int group) const {
    Line line{rows - x, filter.place(x)};
    line.place.at += group * image.group;
    return line;
  }
  template <class To>
  CK_DEVICE void load(const Line& line, int term, int end, To& to) const {
    if (line.left < 0 || term >= end) return to.none();
    const ImagePlaces::Corner c = image.corner(term);
    FilterRuns::Place p = line.place;
    if (kFours || image.by_four) {
      if (line.left == 0)
        unit(to);
      else
        image.four(c.image, c.h + p.h, c.at + p.at, to);
    } else {
      CK_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (i == line.left)
          to.set(i, 1);
        else
          image.one(c.image, c.h + p.h, c.at + p.at, i, i < line.left, to);
        filter.advance(p);
      }
    }
  }
};

// Rows are pixels of dx, terms (i, j, k) the places of dy that reach them by tap (i, j): what
// stands there for filters that move by more than a pixel.
struct PixelsAlongTaps {
  static constexpr bool kAlongTerms = true;
  const float* dy;
  int P, Q, K, filters, KW, pad_top, pad_left, dilation_h, dilation_w, count;
  FastDivide by_filters, by_taps, by_columns, by_rows, stride_h, stride_w;
  bool by_four;

  PixelsAlongTaps(const float* p, const Conv2dShape& s, const Conv2dParams& params)
      : dy(p),
        P(static_cast<int>(s.P)),
        Q(static_cast<int>(s.Q)),
        K(static_cast<int>(s.K)),
        filters(static_cast<int>(s.K / params.groups)),
        KW(static_cast<int>(s.KW)),
        pad_top(static_cast<int>(params.pad_top)),
        pad_left(static_cast<int>(params.pad_left)),
        dilation_h(static_cast<int>(params.dilation_h)),
        dilation_w(static_cast<int>(params.dilation_w)),
        count(static_cast<int>(s.N * s.H * s.W)),
        by_filters(filters),
        by_taps(KW),
        by_columns(s.W),
        by_rows(s.H),
        stride_h(params.stride_h),
        stride_w(params.stride_w),
        by_four(filters % 4 == 0 && aligned(p)) {}

  struct Line {
    const float* image;
    int h, v;
  };
  CK_DEVICE Line line(int x, int group) const {
    if (x >= count) return {nullptr, 0, 0};
    int v = x;
    int h = by_columns.divide(v);
    const int n = by_rows.divide(h);
    return {dy + int64_t{n} * (P * Q * K) + group * filters, h + pad_top, v + pad_left};
  }
  // Tap (i, j), and filter k of the group, at the pixel of a line; null if none was there.
  CK_DEVICE const float* at(const Line& line, int k) const {
    int j = by_filters.divide(k);
    const int i = by_taps.divide(j);
    int h = line.h - i * dilation_h, v = line.v - j * dilation_w;
    if (h < 0 || v < 0) return nullptr;
    const int p = stride_h.divide(h), q = stride_w.divide(v);
    return h == 0 && v == 0 && p < P && q < Q ? line.image + (p * Q + q) * K + k : nullptr;
  }
  template <class To>
  CK_DEVICE void load(const Line& line, int term, int end, To& to) const {
    if (line.image == nullptr || term >= end) return to.none();
    if (by_four) {
      const float* const p = at(line, term);
      return to.four(p, p != nullptr);
    }
    CK_UNROLL
    for (int i = 0; i < 4; ++i) {
      const float* const p = term + i < end ? at(line, term + i) : nullptr;
      to.one(i, p, p != nullptr);
    }
  }
};

// Columns are channels, terms (tap, filter of the group), the taps from the last to the first where
// they are to be flipped.
template <bool kFours>
struct ChannelsAlongTaps {
  static constexpr bool kAlongTerms = true;
  const float* first;  // tap
  int tap;             // from tap to tap
  int pitch, channels, filters;
  FastDivide by_filters;
  bool by_four;

  ChannelsAlongTaps(const float* w, const Conv2dShape& s, const Conv2dParams& params, bool flipped)
      : first(w),
        tap(static_cast<int>(s.C / params.groups * s.K)),
        pitch(static_cast<int>(s.K)),
        channels(static_cast<int>(s.C / params.groups)),
        filters(static_cast<int>(s.K / params.groups)),
        by_filters(filters),
        by_four(filters % 4 == 0 && aligned(w)) {
    if (!flipped) return;
    first += (s.KH * s.KW - 1) * int64_t{tap};
    tap = -tap;
  }

  struct Line {
    int column;  // below 0 if there is none
  };
  CK_DEVICE Line line(int x, int group) const {
    return {x < channels ? x * pitch + group * filters : -1};
  }
  CK_DEVICE const float* at(const Line& line, int k) const {
    const int t = by_filters.divide(k);
    return first + (int64_t{t} * tap + (line.column + k));
  }
  template <class To>
  CK_DEVICE void load(const Line& line, int term, int end, To& to) const {
    if (line.column < 0 || term >= end) return to.none();
    if (kFours || by_four) {
      to.four(at(line, term), true);
    } else {
      CK_UNROLL
      for (int i = 0; i < 4; ++i) {
        const bool there = term + i < end;
        to.one(i, at(line, there ? term + i : term), there);
      }
    }
  }
};

}  // namespace convkit::cuda
