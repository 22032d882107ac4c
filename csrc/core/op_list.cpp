// The ops of this build. A new op is one line here.
#include <array>

#include "core/kernel.h"

#define CK_OPS(X)    \
  X(gather_rows)     \
  X(augment)         \
  X(conv2d)          \
  X(pool2d)          \
  X(conv2d_pool)     \
  X(dense)           \
  X(dense_update)    \
  X(activation)      \
  X(softmax)         \
  X(batch_norm)      \
  X(channel_scale)   \
  X(lrn)             \
  X(dropout)         \
  X(add)             \
  X(concatenate)     \
  X(loss)            \
  X(accuracy)        \
  X(confusion)       \
  X(histogram)       \
  X(moments)         \
  X(hopfield)        \
  X(pad2d)           \
  X(upsample2d)      \
  X(transpose)       \
  X(rnn)             \
  X(rbf)             \
  X(scatter)         \
  X(embedding)       \
  X(mask)            \
  X(penalty)         \
  X(gradient_scale)  \
  X(domain_distance) \
  X(update)

namespace convkit {

#define CK_DECLARE_TABLE(op) extern const OpTable op##_table;
CK_OPS(CK_DECLARE_TABLE)

std::span<const OpTable* const> all_ops() {
#define CK_TABLE_ADDRESS(op) &op##_table,
  static const std::array tables = {CK_OPS(CK_TABLE_ADDRESS)};
  return tables;
}

const OpTable* find_op(const std::string& op) {
  for (const OpTable* table : all_ops())
    if (op == table->op) return table;
  return nullptr;
}

const Kernel* find_kernel(const OpTable& op, const std::string& pass, const std::string& name) {
  for (const Kernel& row : op.rows)
    if (pass == row.pass && name == row.name) return &row;
  return nullptr;
}

}  // namespace convkit
