// The kernel table: one ordered list of rows per op, best first. Dispatch, tests and benchmarks
// all read it; a kernel that is not in it does not exist.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/checked.h"
#include "core/isa.h"
#include "core/tensor.h"
#include "core/thread_pool.h"

namespace convkit {

// What changes from step to step. Kernels read it through a pointer because a captured CUDA graph
// freezes its arguments.
struct StepBlock {
  int64_t step = 0;    // updates done so far in the life of the model (0 in the first one)
  int64_t sample = 0;  // position of this batch's first sample in the index array
  double learning_rate = 0.0;
  uint64_t seed = 0;  // key of the counter-based generator
};

// One invocation. The order and the shapes of the operands are in the op's header; params points
// to the op's Params struct; the workspace is 64-byte aligned.
struct Call {
  const Tensor* operands = nullptr;
  int count = 0;
  const void* params = nullptr;
  std::byte* workspace = nullptr;
  const StepBlock* step = nullptr;
  ThreadPool* pool = nullptr;

  CK_INLINE const Tensor& operator[](int i) const { return operands[i]; }
  template <class Params>
  CK_INLINE const Params& as() const {
    return *static_cast<const Params*>(params);
  }
};

using RunFn = void (*)(const Call&);
using SupportsFn = bool (*)(const Call&);  // data pointers may be null: shapes decide

// Scratch memory, in bytes: what a call uses in any case, and a slot for each chunk that may be in
// work at a time. It must not depend on the number of threads; how much of it is ever touched does.
struct Workspace {
  int64_t shared = 0, slots = 0, slot_bytes = 0;

  CK_HOST_INLINE Workspace(int64_t all) : shared(all) {}
  CK_HOST_INLINE Workspace(int64_t common, int64_t count, int64_t each)
      : shared(common), slots(count), slot_bytes(each) {}
  CK_HOST_INLINE int64_t bytes() const { return touched(slots); }
  CK_HOST_INLINE int64_t touched(int64_t threads) const {
    return checked_sum(shared, checked_product(threads < slots ? threads : slots, slot_bytes));
  }
};
using WorkspaceFn = Workspace (*)(const Call&);

struct Kernel {
  const char* pass;
  const char* name;                 // <device>_<algorithm>
  unsigned dtypes;                  // which dtypes of the first operand, as bits
  RunFn run[CK_ISA_COUNT];          // by ISA: CK_PER_ISA(function)
  SupportsFn supports = nullptr;    // null: everything
  WorkspaceFn workspace = nullptr;  // null: none
};

enum class FieldType { integer, real };

// A field of an op's Params struct, by name, so that Python can fill it. A field with choices is an
// integer here and one of the names in Python.
struct ParamField {
  const char* name;
  FieldType type;
  std::size_t offset;
  std::span<const char* const> choices = {};
};

struct OpTable {
  const char* op;
  std::span<const Kernel> rows;
  std::span<const ParamField> fields;
  std::size_t params_bytes;
};

template <class Member>
constexpr FieldType field_type() {
  static_assert(std::is_same_v<Member, int64_t> || std::is_same_v<Member, double>,
                "Params structs hold int64_t and double only");
  return std::is_same_v<Member, int64_t> ? FieldType::integer : FieldType::real;
}
#define CK_FIELD(Params, member)                                                             \
  ::convkit::ParamField {                                                                    \
    #member, ::convkit::field_type<decltype(Params::member)>(), offsetof(Params, member), {} \
  }
#define CK_CHOICE(Params, member, names)                                                        \
  ::convkit::ParamField {                                                                       \
    #member, ::convkit::field_type<decltype(Params::member)>(), offsetof(Params, member), names \
  }

// Declares a kernel function that is compiled once per ISA.
#if CK_ISA_COUNT == 3
#define CK_DECLARE_KERNEL(fn)      \
  namespace baseline {             \
  void fn(const ::convkit::Call&); \
  }                                \
  namespace avx2 {                 \
  void fn(const ::convkit::Call&); \
  }                                \
  namespace avx512 {               \
  void fn(const ::convkit::Call&); \
  }
#define CK_PER_ISA(fn) {baseline::fn, avx2::fn, avx512::fn}
#else
#define CK_DECLARE_KERNEL(fn)      \
  namespace baseline {             \
  void fn(const ::convkit::Call&); \
  }
#define CK_PER_ISA(fn) {baseline::fn}
#endif

// All ops of this build, in core/op_list.cpp.
std::span<const OpTable* const> all_ops();
const OpTable* find_op(const std::string& op);
const Kernel* find_kernel(const OpTable& op, const std::string& pass, const std::string& name);

// Calls f with a value of the C++ type of a floating dtype.
template <class F>
CK_HOST_INLINE void dispatch_float(Dtype dtype, const F& f) {
  if (dtype == Dtype::float64) {
    f(double{});
  } else {
    f(float{});
  }
}

// Calls f with a value of the C++ type of any dtype.
template <class F>
CK_HOST_INLINE void dispatch_number(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::float32:
      return f(float{});
    case Dtype::float64:
      return f(double{});
    case Dtype::uint8:
      return f(uint8_t{});
    case Dtype::int32:
      return f(int32_t{});
    case Dtype::int64:
      return f(int64_t{});
  }
}

CK_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
CK_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Divides n items into chunks whose number depends on the shape alone, never on the number of
// threads, so that sums have one order: "same seed, same bits, on 1 or 64 threads".
struct Chunks {
  int64_t n;
  int64_t size;
  CK_INLINE int64_t count() const { return ceil_div(n, size); }
  CK_INLINE int64_t begin(int64_t chunk) const { return chunk * size; }
  CK_INLINE int64_t end(int64_t chunk) const {
    const int64_t e = (chunk + 1) * size;
    return e < n ? e : n;
  }
};

// Chunks of nearly the same size, at most `most`, and `parts` of them at least; where there are
// several, an even number, so that two threads have the same work, and where many, four threads.
CK_INLINE Chunks balanced_chunks(int64_t n, int64_t most, int64_t parts = 1) {
  const int64_t needed = ceil_div(n, most), least = parts > needed ? parts : needed;
  const int64_t count = round_up(least > 1 ? least : 1, least > 8 ? 4 : least > 2 ? 2 : 1);
  const int64_t size = ceil_div(n, count);
  return {n, size > 0 ? size : 1};
}

}  // namespace convkit
