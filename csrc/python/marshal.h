// From Python to the structs of core/ and exec/: what the bindings of all devices have in common.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "exec/bindings.h"

namespace convkit {

namespace py = pybind11;

// (shape, dtype name), as in convkit.ops.registry.Spec.
using Spec = std::pair<std::vector<int64_t>, std::string>;
// (step, sample, learning rate, seed), as in convkit.ops.registry.Step.
using StepTuple = std::tuple<int64_t, int64_t, double, uint64_t>;
// (buffer, offset, shape, dtype), None where an operand is absent.
using RefTuple = std::tuple<int, int64_t, std::vector<int64_t>, std::string>;
// (value, limit)
using GuardTuple = std::pair<RefTuple, double>;

// What an empty array, which has no address to give, points to; and an operand in a query, which
// has no data.
inline std::byte kNothing[64];

inline StepBlock to_block(const StepTuple& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t)};
}
inline StepTuple from_block(const StepBlock& b) {
  return {b.step, b.sample, b.learning_rate, b.seed};
}

inline Dtype to_dtype(const std::string& name) {
  for (int i = 0; i < kDtypeCount; ++i)
    if (name == kDtypeNames[i]) return static_cast<Dtype>(i);
  throw py::type_error("no kernel takes dtype " + name);
}

inline py::list dtype_names(unsigned dtypes) {
  py::list names;
  for (int i = 0; i < kDtypeCount; ++i)
    if (dtypes & bit(static_cast<Dtype>(i))) names.append(kDtypeNames[i]);
  return names;
}

inline Tensor to_tensor(const Spec& spec) {
  Tensor t;
  t.dtype = to_dtype(spec.second);
  if (spec.first.size() > kMaxRank) throw py::value_error("more than 6 dimensions");
  t.rank = static_cast<int>(spec.first.size());
  for (int i = 0; i < t.rank; ++i) t.shape[i] = spec.first[static_cast<std::size_t>(i)];
  return t;
}

inline Tensor to_tensor(const py::object& object) {
  if (object.is_none()) return {};
  const auto array = object.cast<py::array>();
  if (!(array.flags() & py::array::c_style)) throw py::value_error("operand is not contiguous");
  Tensor t = to_tensor(Spec(std::vector<int64_t>(array.shape(), array.shape() + array.ndim()),
                            py::str(array.dtype().attr("name"))));
  t.data = array.size() ? const_cast<void*>(array.data()) : static_cast<void*>(kNothing);
  return t;
}

// A call that knows shapes and parameters but has no data: what supports() and workspace() see.
struct Query {
  std::vector<std::byte> params;
  std::vector<Tensor> tensors;
  Call call;
  Query(std::vector<std::byte> values, const std::vector<std::optional<Spec>>& specs)
      : params(std::move(values)) {
    for (const auto& spec : specs) {
      tensors.push_back(spec ? to_tensor(*spec) : Tensor{});
      if (spec) tensors.back().data = kNothing;
    }
    call.operands = tensors.data();
    call.count = static_cast<int>(tensors.size());
    call.params = params.data();
  }

  // Whether a row with these dtypes and this rule can run it.
  bool supported(unsigned dtypes, SupportsFn supports) const {
    for (const Tensor& t : tensors)
      if (t.present()) {
        if (!(dtypes & bit(t.dtype))) return false;
        break;
      }
    return !supports || supports(call);
  }
};

inline OperandRef to_ref(const std::optional<RefTuple>& t) {
  if (!t) return {};
  const auto& [buffer, offset, shape, dtype] = *t;
  if (shape.size() > kMaxRank) throw py::value_error("more than 6 dimensions");
  return {buffer, offset, to_dtype(dtype), shape};
}

inline std::vector<Readout> to_readouts(const std::vector<RefTuple>& given) {
  std::vector<Readout> readouts;
  for (const RefTuple& one : given) {
    Readout out{to_ref(one), 1};
    for (int64_t n : out.source.shape) out.width *= n;
    readouts.push_back(std::move(out));
  }
  return readouts;
}

inline std::vector<Guard> to_guards(const std::vector<GuardTuple>& given) {
  std::vector<Guard> guards;
  for (const auto& [value, limit] : given) guards.push_back({to_ref(value), limit});
  return guards;
}

inline bool poll_signals(void*) {
  const py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

inline RunRequest to_request(int64_t steps, const StepTuple& step,
                             const std::optional<py::array_t<double>>& rates,
                             py::array_t<double>& sums, double time_limit) {
  RunRequest request;
  request.steps = steps;
  request.block = to_block(step);
  if (rates) {
    if (rates->size() < steps) throw py::value_error("fewer learning rates than steps");
    request.learning_rates = rates->data();
  }
  request.time_limit = time_limit;
  request.sums = sums.mutable_data();
  request.poll = &poll_signals;
  return request;
}

inline py::tuple from_result(const RunResult& result) {
  // The steps before the interruption count, so its exception is handed over rather than thrown;
  // that of a signal which nobody has polled yet, too, or Python would raise it on our return.
  py::object error = py::none();
  if (PyErr_Occurred() || PyErr_CheckSignals() != 0) error = py::error_already_set().value();
  static constexpr const char* kStatus[] = {"done", "time_up", "not_finite", "interrupted"};
  return py::make_tuple(result.steps, kStatus[static_cast<int>(result.status)],
                        from_block(result.block), error);
}

}  // namespace convkit
