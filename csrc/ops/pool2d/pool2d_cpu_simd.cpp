// pool2d with vectors along the channels.
//
// The last vector of a pixel reaches back to end with the pixel instead of being cut short, so some
// values are computed twice. That is why nothing here adds to memory: every result is finished in
// registers and stored. Fewer channels than a register holds take a narrower vector, or a whole one
// for several windows (pool2d_groups.h).
#include "ops/pool2d/pool2d_average_through.h"
#include "ops/pool2d/pool2d_windows.h"

namespace convkit::CK_ISA {
namespace {

// The larger of best and value, and its position. Not <= instead of >, so that a NaN wins; after
// it, best == best is false.
template <class I, class V>
CK_INLINE void keep_larger(V& best, I& winner, V value, I position) {
  const I better = ~(I)(value <= best) & (I)(best == best);
  best = better ? value : best;
  winner = better ? position : winner;
}

template <class T>
struct MaxGroup : WindowGroup<T> {
  const T* end;  // of x
  T* y;
  uint8_t* argmax;

  template <int K>
  CK_INLINE void operator()(Const<K>, const PoolGeometry& g, const WindowRun<const T>& run) const {
    using Group = WindowGroup<T>;
    const Group group = *this;  // which no store can reach
    group.template each_group<K>(
        g, run, end, [&](auto all, const T* image, int64_t o, int64_t count) {
          typename Group::V best = {};
          typename Group::I winner = {};
          group.each_place(all, Const<K>{}, g.W * g.C, image, end, [&](int at, auto value) {
            if (at == 0) best = value;
            if (at > 0) keep_larger(best, winner, value, typename Group::I{} + at);
          });
          group.put(all, y + o, best, count * g.C);
          if (argmax != nullptr) group.put_winners(all, argmax + o, winner, count * g.C);
        });
  }
};

template <class T, bool kWinner, class Index>
CK_INLINE void max_forward(const Call& call) {
  const PoolGeometry geometry(call[0], call[1], call.as<Pool2dParams>());
  const T* const x = call[0].as<const T>();
  T* const y = call[1].as<T>();
  Index* const argmax = call[2].as<Index>();
  const auto run = [&]<int L>(Const<L>, const auto& group) {
    using I = VecOf<IntOf<T>, L>;
    const auto pixel = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<const T>& a) {
      const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
      const int64_t width = K ? K : g.k.window_w;
      for_channels<L>(g.C, [&](int64_t c) {
        auto best = load<L>(a.image + c);
        I winner = I{} + static_cast<IntOf<T>>(a.first);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < columns; ++j) {
            if (i == 0 && j == 0) continue;
            const auto value = load<L>(a.image + (i * g.W + j) * g.C + c);
            keep_larger(best, winner, value, I{} + static_cast<IntOf<T>>(a.first + i * width + j));
          }
        }
        store<L>(y + a.o + c, best);
        if constexpr (kWinner) store_winners<T, L>(argmax + a.o + c, winner);
      });
    };
    choose_window<T, true>(geometry.k, [&]<int K>(Const<K>) {
      for_windows<K>(call, geometry, x, nothing, pixel, nothing, group);
    });
  };
  if constexpr (sizeof(Index) == 1) {
    const MaxGroup<T> group{WindowGroup<T>(geometry, 3), x + call[0].size(), y, argmax};
    choose_group<T>(geometry, group, run);
  } else {
    choose_group<T>(geometry, NoGroup{}, run);
  }
}

template <class T>
struct MaxSpread : WindowGroup<T> {
  const T* dy;
  const uint8_t* argmax;
  int64_t size;  // of these

  template <int K>
  CK_INLINE void operator()(Const<K>, const PoolGeometry& g, const WindowRun<T>& run) const {
    using Group = WindowGroup<T>;
    const Group group = *this;
    group.template each_spread<K>(g, run, size, [&](auto all, T* image, int64_t o, int64_t count) {
      const auto values = group.get(all, dy + o, count * g.C);
      const auto winners = group.get_winners(all, argmax + o, count * g.C);
      group.spread(all, Const<K>{}, g, image, count, [&](int t, int i) {
        const auto here = group.give(winners, t) == group.column[t] + i * K;
        return here ? group.give(values, t) : typename Group::V{};
      });
    });
  }
};

template <class T, class Index>
CK_INLINE void max_backward(const Call& call) {
  const PoolGeometry geometry(call[3], call[0], call.as<Pool2dParams>());
  const T* const dy = call[0].as<T>();
  const Index* const argmax = call[1].as<Index>();
  const Through<T> through(geometry.k, call[2], call[3]);
  const auto run_scatter = [&]<int L>(Const<L>, const auto& group) {
    using V = VecOf<T, L>;
    using I = VecOf<IntOf<T>, L>;
    const auto spread = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<T>& a) {
      const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
      const int64_t width = K ? K : g.k.window_w;
      for_channels<L>(g.C, [&](int64_t c) {
        const V value = load<L>(dy + a.o + c);
        const I winner = load_winners<T, L>(argmax + a.o + c);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < columns; ++j) {
            const I here = I{} + static_cast<IntOf<T>>(a.first + i * width + j);
            store<L>(a.image + (i * g.W + j) * g.C + c, winner == here ? value : V{});
          }
        }
      });
    };
    scatter(call, geometry, through, spread, group);
  };
  const auto run_gather = [&]<int L>(Const<L>) {
    using V = VecOf<T, L>;
    using I = VecOf<IntOf<T>, L>;
    const auto collect = [=](const PoolGeometry& g, int64_t h, int64_t w, Span ps, Span qs,
                             int64_t o, T* to) {
      for_channel_groups<L>(g.C, [&]<int U>(Const<U>, int64_t c) {
        V sum[U] = {};
        for (int64_t p = ps.begin; p < ps.end; ++p) {
          for (int64_t q = qs.begin; q < qs.end; ++q) {
            const int64_t at = o + (p * g.Q + q) * g.C + c;
            const int64_t position = (h - g.top(p)) * g.k.window_w + w - g.left(q);
            const I here = I{} + static_cast<IntOf<T>>(position);
            for (int u = 0; u < U; ++u) {
              const I winner = load_winners<T, L>(argmax + at + u * L);
              sum[u] += winner == here ? load<L>(dy + at + u * L) : V{};
            }
          }
        }
        for (int u = 0; u < U; ++u) store<L>(to + c + u * L, sum[u]);
      });
    };
    gather(call, geometry, through, collect);
  };
  if (!disjoint(geometry)) return choose_lanes<T>(geometry.C, run_gather);
  if constexpr (sizeof(Index) == 1) {
    const MaxSpread<T> group{WindowGroup<T>(geometry, 2), dy, argmax, call[0].size()};
    choose_group<T>(geometry, group, run_scatter);
  } else {
    choose_group<T>(geometry, NoGroup{}, run_scatter);
  }
}

template <class T>
struct AverageGroup : WindowGroup<T> {
  const T* end;  // of x
  T* y;

  template <int K>
  CK_INLINE void operator()(Const<K>, const PoolGeometry& g, const WindowRun<const T>& run) const {
    using Group = WindowGroup<T>;
    const Group group = *this;
    group.template each_group<K>(
        g, run, end, [&](auto all, const T* image, int64_t o, int64_t count) {
          typename Group::V sum = {};
          group.each_place(all, Const<K>{}, g.W * g.C, image, end,
                           [&](int, auto value) { sum += value; });
          group.put(all, y + o, sum * (T(1) / static_cast<T>(K * K)), count * g.C);
        });
  }
};

template <class T>
struct AverageSpread : WindowGroup<T> {
  const T* dy;
  int64_t size;  // of it

  template <int K>
  CK_INLINE void operator()(Const<K>, const PoolGeometry& g, const WindowRun<T>& run) const {
    using Group = WindowGroup<T>;
    const Group group = *this;
    group.template each_spread<K>(g, run, size, [&](auto all, T* image, int64_t o, int64_t count) {
      const auto share = group.get(all, dy + o, count * g.C) * (T(1) / static_cast<T>(K * K));
      group.spread(all, Const<K>{}, g, image, count, [&](int t, int) {
        return group.column[t] >= 0 ? group.give(share, t) : typename Group::V{};
      });
    });
  }
};

}  // namespace

void pool2d_simd_max_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (!call[2].present()) {
      max_forward<T, false, uint8_t>(call);
    } else if (call[2].dtype == Dtype::uint8) {
      max_forward<T, true, uint8_t>(call);
    } else {
      max_forward<T, true, int32_t>(call);
    }
  });
}

void pool2d_simd_max_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    if (call[1].dtype == Dtype::uint8) {
      max_backward<T, uint8_t>(call);
    } else {
      max_backward<T, int32_t>(call);
    }
  });
}

void pool2d_simd_average_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry geometry(call[0], call[1], call.as<Pool2dParams>());
    const T* const x = call[0].as<const T>();
    T* const y = call[1].as<T>();
    const AverageGroup<T> averages{WindowGroup<T>(geometry, 3), x + call[0].size(), y};
    choose_group<T>(geometry, averages, [&]<int L>(Const<L>, const auto& group) {
      const auto pixel = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<const T>& a) {
        const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
        const T inverse = T(1) / static_cast<T>(K ? K * K : a.count);
        for_channels<L>(g.C, [&](int64_t c) {
          VecOf<T, L> sum = {};
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < columns; ++j) {
              sum += load<L>(a.image + (i * g.W + j) * g.C + c);
            }
          }
          store<L>(y + a.o + c, sum * inverse);
        });
      };
      choose_window<T, true>(geometry.k, [&]<int K>(Const<K>) {
        for_windows<K>(call, geometry, x, nothing, pixel, nothing, group);
      });
    });
  });
}

void pool2d_simd_average_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const PoolGeometry geometry(call[2], call[0], call.as<Pool2dParams>());
    const T* const dy = call[0].as<T>();
    const Through<T> through(geometry.k, call[1], call[2]);
    if (through && disjoint(geometry)) {
      return average_backward_through(call, geometry, dy, through);
    }
    const T full = T(1) / static_cast<T>(geometry.k.window_h * geometry.k.window_w);
    const auto run_scatter = [&]<int L>(Const<L>, const auto& group) {
      const auto spread = [=]<int K>(Const<K>, const PoolGeometry& g, const Window<T>& a) {
        const int64_t rows = K ? K : a.rows, columns = K ? K : a.columns;
        const T inverse = K ? full : T(1) / static_cast<T>(a.count);
        for_channels<L>(g.C, [&](int64_t c) {
          const auto value = load<L>(dy + a.o + c) * inverse;
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < columns; ++j) {
              store<L>(a.image + (i * g.W + j) * g.C + c, value);
            }
          }
        });
      };
      scatter(call, geometry, through, spread, group);
    };
    const auto run_gather = [&]<int L>(Const<L>) {
      const auto collect = [=](const PoolGeometry& g, int64_t, int64_t, Span ps, Span qs, int64_t o,
                               T* to) {
        // Windows that all lie inside the image have one share.
        const bool inside = g.top(ps.begin) >= 0 && g.left(qs.begin) >= 0 &&
                            g.top(ps.end - 1) + g.k.window_h <= g.H &&
                            g.left(qs.end - 1) + g.k.window_w <= g.W;
        for_channel_groups<L>(g.C, [&]<int U>(Const<U>, int64_t c) {
          VecOf<T, L> sum[U] = {};
          for (int64_t p = ps.begin; p < ps.end; ++p) {
            for (int64_t q = qs.begin; q < qs.end; ++q) {
              const T inverse =
                  inside ? full : T(1) / static_cast<T>(g.count(g.rows(p), g.columns(q)));
              const T* from = dy + o + (p * g.Q + q) * g.C + c;
              for (int u = 0; u < U; ++u) sum[u] += load<L>(from + u * L) * inverse;
            }
          }
          for (int u = 0; u < U; ++u) store<L>(to + c + u * L, sum[u]);
        });
      };
      gather(call, geometry, through, collect);
    };
    if (!disjoint(geometry)) return choose_lanes<T>(geometry.C, run_gather);
    const AverageSpread<T> shares{WindowGroup<T>(geometry, 2), dy, call[0].size()};
    choose_group<T>(geometry, shares, run_scatter);
  });
}

}  // namespace convkit::CK_ISA
