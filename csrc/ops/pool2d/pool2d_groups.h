// Windows of an image of few channels, several at a time. For kernel sources only (core/isa.h).
//
// Lane l of a vector of results belongs to channel l % C of window l / C of a group. What these
// take from the image lies stride_w*C apart from window to window, within two vectors: the way
// there and back is a permutation of lanes.
#pragma once

#include "ops/pool2d/pool2d_lanes.h"

namespace convkit::CK_ISA {

// Windows of K x K next to each other in a row, all inside the image.
template <class T>
struct WindowRun {
  T* image;       // the first one's first pixel
  int64_t o;      // where its outputs begin
  int64_t count;  // of windows
};

template <class T>
struct WindowGroup {
  static constexpr int kLanes = kVecBytes / sizeof(T);
  // Where lanes are permuted in one instruction or a few.
#if CK_X86_64 && CK_ISA_LEVEL > 0 && !defined(__clang__)
  static constexpr bool kFast = sizeof(T) == 4;
#else
  static constexpr bool kFast = false;
#endif
  using V = VecOf<T, kLanes>;
  using I = VecOf<IntOf<T>, kLanes>;

  int64_t windows = 0;  // in a group; 0 or 1: not worth it
  int64_t step = 0;     // values from window to window
  // For each lane, that of two vectors of a row of the image, by column.
  I from[3] = {};
  // For each lane of two vectors of a row of the image: the lane of the group, and the column in
  // its window; a negative one where no window is.
  I lane[2] = {}, column[2] = {};

  // For windows of 2x2 to `largest` x `largest`, which have code of their own.
  CK_INLINE WindowGroup(const PoolGeometry& g, int64_t largest) {
    if (!kFast || g.C == 0 || 2 * g.C > kLanes) return;
    if (g.k.window_h != g.k.window_w || g.k.window_h < 2 || g.k.window_h > largest) return;
    step = g.k.stride_w * g.C;
    const int64_t fit = (2 * kLanes / g.C - g.k.window_w) / g.k.stride_w + 1;
    windows = kLanes / g.C < fit ? kLanes / g.C : fit;
    for (int64_t l = 0; l < kLanes && windows > 0; ++l) {
      for (int64_t j = 0; j < g.k.window_w && l < windows * g.C; ++j) {
        from[j][l] = static_cast<IntOf<T>>(l / g.C * step + j * g.C + l % g.C);
      }
      for (int64_t t = 0; t < 2; ++t) {
        const int64_t at = t * kLanes + l, q = at / step < windows ? at / step : 0;
        const int64_t j = at % step / g.C;
        lane[t][l] = static_cast<IntOf<T>>(q * g.C + at % g.C);
        column[t][l] = static_cast<IntOf<T>>(j < g.k.window_w ? j : -256);
      }
    }
  }

  CK_INLINE static int lanes_of(int64_t n) {
    return n < 0 ? 0 : n < kLanes ? static_cast<int>(n) : kLanes;
  }

  // Forward: f(all, image, o, count) for the groups of a run. With Const<1> for `all`, whole
  // vectors may be read from `image` on, which ends at `end`, and written at o: groups of the same
  // run follow, and write over what is too much.
  template <int K, class F>
  CK_INLINE void each_group(const PoolGeometry& g, WindowRun<const T> a, const T* end,
                            const F& f) const {
    const int64_t reach = (K - 1) * g.W * g.C + 2 * kLanes, enough = ceil_div(kLanes, g.C);
    const int64_t hop = windows * step, values = windows * g.C;
    for (; a.count >= enough && end - a.image >= reach; a.count -= windows) {
      f(Const<1>{}, a.image, a.o, windows);
      a.image += hop, a.o += values;
    }
    for (; a.count > 0; a.count -= windows) {
      f(Const<0>{}, a.image, a.o, a.count < windows ? a.count : windows);
      a.image += hop, a.o += values;
    }
  }

  // Calls f(position, values) for each place of a group's windows, in order.
  template <int kAll, int K, class F>
  CK_INLINE void each_place(Const<kAll>, Const<K>, int64_t row, const T* image, const T* end,
                            const F& f) const {
    for (int i = 0; i < K; ++i, image += row) {
      const T* const next = image + kLanes;
      const V low =
          kAll ? load<kLanes>(image) : Vec<T>::load_partial(image, lanes_of(end - image)).v;
      const V high = kAll ? load<kLanes>(next) : Vec<T>::load_partial(next, lanes_of(end - next)).v;
      for (int j = 0; j < K; ++j) f(i * K + j, permuted(low, high, from[j]));
    }
  }

  template <int kAll>
  CK_INLINE static void put(Const<kAll>, T* p, V v, int64_t n) {
    if constexpr (kAll) return store<kLanes>(p, v);
    Vec<T>(v).store_partial(p, lanes_of(n));
  }
  template <int kAll>
  CK_INLINE static void put_winners(Const<kAll>, uint8_t* p, I winners, int64_t n) {
    if constexpr (kAll) return store_winners<T, kLanes>(p, winners);
    uint8_t bytes[kLanes];
    store_winners<T, kLanes>(bytes, winners);
    std::memcpy(p, bytes, static_cast<std::size_t>(n));
  }

  // Backward: f(all, image, o, count) for the groups of a run. With Const<1> for `all`, whole
  // vectors may be written from `image` on, and read from o on, where `size` values are.
  template <int K, class F>
  CK_INLINE void each_spread(const PoolGeometry& g, WindowRun<T> a, int64_t size,
                             const F& f) const {
    // Windows whose pixels, without those between the last and the next, fill two vectors.
    const int64_t enough = ceil_div(2 * kLanes - K * g.C, step) + 1;
    const int64_t hop = windows * step, values = windows * g.C;
    for (; a.count >= enough && size - a.o >= kLanes; a.count -= windows) {
      f(Const<1>{}, a.image, a.o, windows);
      a.image += hop, a.o += values;
    }
    for (; a.count > 0; a.count -= windows) {
      f(Const<0>{}, a.image, a.o, a.count < windows ? a.count : windows);
      a.image += hop, a.o += values;
    }
  }

  // Writes what value(t, i) gives to vector t of row i of a group's windows.
  template <int kAll, int K, class Value>
  CK_INLINE void spread(Const<kAll>, Const<K>, const PoolGeometry& g, T* image, int64_t count,
                        const Value& value) const {
    const int64_t n = (count - 1) * step + K * g.C;
    for (int t = 0; t < 2; ++t) {
      if (t > 0 && n <= kLanes) break;
      for (int i = 0; i < K; ++i) {
        put(Const<kAll>{}, image + i * g.W * g.C + t * kLanes, value(t, i), n - t * kLanes);
      }
    }
  }

  // The values or winners of n lanes of a group.
  template <int kAll>
  CK_INLINE static V get(Const<kAll>, const T* p, int64_t n) {
    return kAll ? load<kLanes>(p) : Vec<T>::load_partial(p, lanes_of(n)).v;
  }
  template <int kAll>
  CK_INLINE static I get_winners(Const<kAll>, const uint8_t* p, int64_t n) {
    if constexpr (kAll) return load_winners<T, kLanes>(p);
    uint8_t bytes[kLanes] = {};
    std::memcpy(bytes, p, static_cast<std::size_t>(n));
    return load_winners<T, kLanes>(bytes);
  }
  template <class W>
  CK_INLINE W give(W v, int t) const {
    return permuted(v, v, lane[t]);
  }

 private:
  template <class W>
  CK_INLINE static W permuted(W a, W b, I lanes) {
#ifdef __clang__
    return static_cast<void>(b), static_cast<void>(lanes), a;  // never called: not kFast
#else
    return __builtin_shuffle(a, b, lanes);
#endif
  }
};

// Where windows are treated one by one.
struct NoGroup {
  static constexpr int64_t windows = 0;
  template <class... Any>
  CK_INLINE void operator()(const Any&...) const {}
};

// Calls run(lanes of a vector of channels, group or NoGroup) with what the channels ask for.
template <class T, class Group, class Run>
CK_INLINE void choose_group(const PoolGeometry& g, const Group& group, const Run& run) {
  if constexpr (WindowGroup<T>::kFast) {
    if (group.windows > 1) return run(Const<1>{}, group);
  }
  choose_lanes<T>(g.C, [&](auto lanes) { run(lanes, NoGroup{}); });
}

}  // namespace convkit::CK_ISA
