// conv2d_pool with the tiles of conv2d: a task of the forward pass computes some rows of z in its
// scratch memory and takes the maximum from there; one of a backward pass makes the rows of dz that
// it needs when it needs them.
#include "ops/conv2d/conv2d_correlation.h"
#include "ops/conv2d/conv2d_input_runs.h"
#include "ops/conv2d/conv2d_weight_gradient.h"
#include "ops/conv2d_pool/conv2d_pool_plan.h"
#include "ops/conv2d_pool/conv2d_pool_rows.h"

namespace convkit::CK_ISA {
namespace {

// Rows [begin, end) of z of the images of a task, the first at data.
template <class T>
struct ImageRows {
  T* data;
  int64_t image, row, pixel;
  int64_t begin, end;

  // Forgets the rows before `first`, and says which is the first that is not there.
  CK_INLINE int64_t keep_from(int64_t first, int64_t images) {
    if (first >= end) {
      begin = end = first;
      return first;
    }
    for (int64_t n = 0; n < images && first > begin; ++n) {
      copy_run(data + n * image + (first - begin) * row, (end - first) * row, data + n * image);
    }
    begin = first;
    return end;
  }
};

// A task, whose rows are rows of windows.
template <class T>
void pool_task(const CorrelationPass<T>& pass, const Conv2dPoolPlan& plan, const PoolGeometry& g,
               CorrelationTask task, const LoadRow<T>& load, T* slot, T* y, uint8_t* winner) {
  const Conv2dShape& s = pass.c.s;
  const int64_t images = task.n1 - task.n0, band_begin = task.r0, band_end = task.r1;
  const int64_t K = pass.plan.by_filters ? task.k1 - task.k0 : s.K;
  const int64_t first = task.g0 * pass.c.group_K() + task.k0;  // of the channels
  const int64_t z = plan.slot_bytes / int64_t{sizeof(T)} - pass.plan.images.size * plan.z_values();
  ImageRows<T> rows = {slot + z, plan.rows * s.Q * K, s.Q * K, K, 0, 0};
  for (int64_t p0 = band_begin; p0 < band_end; p0 += plan.step) {
    const int64_t p1 = smaller(p0 + plan.step, band_end);
    const Span needed = rows_of_windows(g, p0, p1);
    task.r0 = rows.keep_from(needed.begin, images), task.r1 = needed.end;
    if (task.r0 < task.r1) {
      const ResultRows<T> to = {rows.data + (task.r0 - rows.begin) * rows.row - first, rows.image,
                                rows.row, rows.pixel};
      correlate(pass, task, task_source(pass, task, load, slot), slot, to);
      rows.end = task.r1;
    }
    for (int64_t n = 0; n < images; ++n) {
      for (int64_t p = p0; p < p1; ++p) {
        const int64_t o = ((task.n0 + n) * g.P + p) * g.Q * g.C + first;
        pool_row(g, rows.data + n * rows.image - rows.begin * rows.row, rows.row, rows.pixel, K, p,
                 y + o, winner != nullptr ? winner + o : nullptr);
      }
    }
  }
}

}  // namespace

void conv2d_pool_implicit_gemm_forward(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[0], call[1], params);
  const PoolGeometry g = conv2d_pool_geometry(s, call[3], params);
  const Conv2dPoolPlan plan = conv2d_pool_plan(s, params, g.P, call[0].dtype);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const LoadRow<T> load = {call[0].as<T>(), s.H, s.W, s.C};
    const CorrelationPass<T> pass =
        correlation_pass(plan.c, plan.conv, call[0].as<const T>(), call[1].as<const T>(),
                         call[2].as<const T>(), call.workspace);
    prepare(pass, call.pool, load);
    call.pool->parallel_for(
        correlation_tasks(plan.c, plan.conv),
        [&](int64_t index, int thread) {
          pool_task(pass, plan, g, correlation_task(plan.c, plan.conv, index), load,
                    pass.slot(thread), call[3].as<T>(), call[4].as<uint8_t>());
        },
        plan.conv.max_threads());
  });
}

void conv2d_pool_implicit_gemm_backward_input(const Call& call) {
  const auto& pooled = call.as<Conv2dPoolParams>();
  const Conv2dParams params = conv2d_of(pooled);
  const Conv2dShape s = conv2d_pool_shape(call[5], call[1], pooled);
  const Dtype dtype = call[0].dtype;
  dispatch_float(dtype, [&]<class T>(T) {
    const T* const w = call[1].as<T>();
    T* const dx = call[5].as<T>();
    const Through<T> through(params, call[4], call[5]);
    const UnpoolRow<T> unpool = unpool_row<T>(s, pooled, call[0], call[2], call[3]);
    if (backward_input_correlates(s, params, dtype)) {
      const Correlation c = backward_input_correlation(s, params);
      const T* const none = nullptr;
      return run(
          correlation_pass(c, made_rows_plan(c, dtype), none, w, none, call.workspace, through),
          call.pool, unpool, dx);
    }
    const ImplicitGemmPlan plan = implicit_gemm_plan(Conv2dPass::backward_input, s, params, dtype);
    std::byte* const scratch = call.workspace + plan.workspace().bytes();
    const int64_t bytes = made_rows_bytes(s, pooled, plan, dtype);
    const auto rows = [&](int64_t n, int64_t begin, int64_t end, int thread) {
      T* const dz = reinterpret_cast<T*>(scratch + thread * bytes);
      for (int64_t r = begin; r < end; ++r) unpool(n, r, dz + (r - begin) * s.Q * s.K, s.K);
      return dz - begin * s.Q * s.K;
    };
    backward_input_by_runs(s, params, plan, w, rows, call.workspace, call.pool, dx, through);
  });
}

void conv2d_pool_implicit_gemm_backward_weight(const Call& call) {
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[1], call[4], params);
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    const WeightGradient<T> wg(s, conv2d_of(params), call[0].dtype);
    const UnpoolRow<T> unpool = unpool_row<T>(s, params, call[0], call[2], call[3]);
    std::byte* const scratch = call.workspace + wg.plan.workspace().bytes();
    const int64_t bytes = made_rows_bytes(s, wg.plan, call[0].dtype);
    const auto rows = [&](const WeightBlock& block, const ConvTask& task, int thread) {
      T* const dz = reinterpret_cast<T*>(scratch + thread * bytes);
      const int64_t first = block.g * wg.plan.K, K = block.k1 - block.k0;
      T* to = dz;
      for (int64_t n = task.n0; n < task.n1; ++n) {
        for (int64_t r = task.r0; r < task.r1; ++r, to += s.Q * K) {
          unpool(n, r, first + block.k0, first + block.k1, to, K);
        }
      }
      return Pixels<T>{dz, (task.r1 - task.r0) * s.Q * K, s.Q * K, K};
    };
    run_weight_gradient(wg, call.pool, call.workspace, call[1].as<const T>(), rows, call[4].as<T>(),
                        call[5].as<T>());
  });
}

}  // namespace convkit::CK_ISA
