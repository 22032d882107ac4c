// conv2d_pool with the tiles of conv2d: a task of the forward pass computes some rows of z in its
// scratch memory and takes the maximum from there; one of a backward pass makes the rows of dz that
// it needs when it needs them.
#include "ops/conv2d/conv2d_correlation.h"
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
  const auto& params = call.as<Conv2dPoolParams>();
  const Conv2dShape s = conv2d_pool_shape(call[4], call[1], params);
  const Correlation c = backward_input_correlation(s, conv2d_of(params));
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    run(correlation_pass(c, made_rows_plan(c, call[0].dtype), static_cast<const T*>(nullptr),
                         call[1].as<const T>(), static_cast<const T*>(nullptr), call.workspace),
        call.pool, unpool_row<T>(s, params, call[0], call[2], call[3]), call[4].as<T>());
  });
}

}  // namespace convkit::CK_ISA
