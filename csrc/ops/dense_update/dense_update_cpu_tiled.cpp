// dw a chunk at a time in register tiles, into scratch memory that stays in the cache; then the
// rule over the same chunk of state and weights, which are read and written once. The code of the
// product is common to all rules. The sums and the rules are those of the tiled dense kernel and of
// update, and so are the bits.
#include "gemm/transposed_product.h"
#include "ops/dense_update/dense_update.h"
#include "ops/update/update_blocks.h"

namespace convkit::CK_ISA {
namespace {

// The rows and columns of dw that chunk `index` is.
struct Part {
  int64_t row, rows, column, columns;

  CK_INLINE Part(const DenseUpdatePlan& plan, int64_t index) {
    const int64_t r = index / plan.columns.count(), c = index % plan.columns.count();
    row = plan.rows.begin(r);
    rows = plan.rows.end(r) - row;
    column = plan.columns.begin(c);
    columns = plan.columns.end(c) - column;
  }
};

// dw of a part, its rows one after the other.
template <class T>
__attribute__((noinline)) void gradient_of(const Call& call, const Part& part, T* dw) {
  const int64_t R = call[0].rows(), C = call[1].last(), K = call[0].last();
  transposed_product_here(
      TransposedProduct<T>{part.rows, part.columns, R, call[1].as<T>() + part.row, C,
                           call[0].as<T>() + part.column, K, dw, part.columns, nullptr});
}

struct Tiled {
  static constexpr int kState = 2;
  template <class Rule, class T, class... At>
  static void run(const Call& call, At... state) {
    const int64_t R = call[0].rows(), C = call[1].last(), K = call[0].last();
    const DenseUpdatePlan plan(R, C, K, sizeof(T));
    const Before<T> before(call.as<UpdateParams>(), *call.step);
    const Rule rule(call.as<UpdateParams>(), *call.step);
    T* const w = call[call.count - 1].as<T>();
    call.pool->parallel_for(
        plan.count(),
        [&](int64_t index, int thread) {
          const Part part(plan, index);
          T* const dw = reinterpret_cast<T*>(call.workspace) + thread * plan.scratch;
          gradient_of(call, part, dw);
          // Whole rows of w are one run.
          const bool whole = part.columns == K;
          const int64_t runs = whole ? 1 : part.rows;
          const int64_t length = whole ? part.rows * K : part.columns;
          for (int64_t i = 0; i < runs; ++i) {
            const int64_t at = (part.row + i) * K + part.column;
            step_run(before, rule, length, dw + i * length, w + at,
                     (call[state].template as<T>() + at)...);
          }
        },
        max_threads<T>(C, K, R) == 1 ? 1 : static_cast<int>(plan.slots()));
  }
};

}  // namespace

void dense_update_tiled_sgd(const Call& call) { run_sgd<Tiled>(call); }
void dense_update_tiled_adagrad(const Call& call) { run_adagrad<Tiled>(call); }
void dense_update_tiled_adadelta(const Call& call) { run_adadelta<Tiled>(call); }
void dense_update_tiled_rmsprop(const Call& call) { run_rmsprop<Tiled>(call); }
void dense_update_tiled_adam(const Call& call) { run_adam<Tiled>(call); }
void dense_update_tiled_nadam(const Call& call) { run_nadam<Tiled>(call); }
void dense_update_tiled_adamax(const Call& call) { run_adamax<Tiled>(call); }
void dense_update_tiled_lion(const Call& call) { run_lion<Tiled>(call); }

}  // namespace convkit::CK_ISA
