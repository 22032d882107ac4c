// The bindings of the CPU's half: kernel rows by op, pass and name, the executor, threads and ISA.
#include <cstring>
#include <memory>
#include <variant>

#include "core/cpu_features.h"
#include "core/kernel.h"
#include "core/thread_pool.h"
#include "exec/buffer.h"
#include "exec/executor.h"
#include "exec/machine.h"
#include "gemm/blas.h"
#include "python/marshal.h"

namespace convkit {
namespace {

const OpTable& op_named(const std::string& op) {
  if (const OpTable* table = find_op(op)) return *table;
  throw py::value_error("no native op " + op);
}

const Kernel& row_named(const std::string& op, const std::string& pass, const std::string& name) {
  if (const Kernel* kernel = find_kernel(op_named(op), pass, name)) return *kernel;
  throw py::value_error("no native kernel " + op + "." + pass + " " + name);
}

std::vector<std::byte> to_params(const OpTable& table, const py::dict& values) {
  std::vector<std::byte> bytes(table.params_bytes);
  for (const ParamField& field : table.fields) {
    const py::str key(field.name);
    if (!values.contains(key))
      throw py::value_error(std::string("[") + table.op + "] parameter " + field.name +
                            " is missing");
    const py::object value = values[key];
    if (field.type == FieldType::real) {
      const auto number = value.cast<double>();
      std::memcpy(bytes.data() + field.offset, &number, sizeof number);
      continue;
    }
    int64_t number = -1;
    if (field.choices.empty()) {
      number = value.cast<int64_t>();
    } else {
      const auto name = value.cast<std::string>();
      for (std::size_t i = 0; i < field.choices.size(); ++i)
        if (name == field.choices[i]) number = static_cast<int64_t>(i);
      if (number < 0)
        throw py::value_error(std::string("[") + table.op + "] " + field.name + " cannot be " +
                              name);
    }
    std::memcpy(bytes.data() + field.offset, &number, sizeof number);
  }
  if (values.size() != table.fields.size())
    throw py::value_error(std::string("[") + table.op + "] got a parameter that it does not have");
  return bytes;
}

bool supports(const std::string& op, const std::string& pass, const std::string& name,
              const std::vector<std::optional<Spec>>& specs, const py::dict& params) {
  const Kernel& kernel = row_named(op, pass, name);
  return Query(to_params(op_named(op), params), specs).supported(kernel.dtypes, kernel.supports);
}

int64_t workspace_bytes(const std::string& op, const std::string& pass, const std::string& name,
                        const std::vector<std::optional<Spec>>& specs, const py::dict& params,
                        int64_t threads) {
  const Kernel& kernel = row_named(op, pass, name);
  if (!kernel.workspace) return 0;
  const Workspace work = kernel.workspace(Query(to_params(op_named(op), params), specs).call);
  return threads > 0 ? work.touched(threads) : work.bytes();
}

// A Params struct as the kernels of all devices see it.
py::bytes params_bytes(const std::string& op, const py::dict& params) {
  const std::vector<std::byte> bytes = to_params(op_named(op), params);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void call_kernel(const std::string& op, const std::string& pass, const std::string& name,
                 const std::vector<py::object>& operands, const py::dict& values,
                 const StepTuple& step, double seconds) {
  const Kernel& kernel = row_named(op, pass, name);
  const std::vector<std::byte> params = to_params(op_named(op), values);
  std::vector<Tensor> tensors;
  for (const py::object& operand : operands) tensors.push_back(to_tensor(operand));
  const StepBlock block = to_block(step);
  Call call;
  call.operands = tensors.data();
  call.count = static_cast<int>(tensors.size());
  call.params = params.data();
  call.step = &block;
  call.pool = &ThreadPool::instance();
  const Buffer workspace(kernel.workspace ? kernel.workspace(call).bytes() : 0);
  call.workspace = static_cast<std::byte*>(workspace.data());
  {
    const py::gil_scoped_release release;
    const DenormalsFlushed flushed;
    const ExpectedWork expected(seconds);
    kernel.run[static_cast<std::size_t>(active_isa())](call);
  }
  run_count(kernel).fetch_add(1, std::memory_order_relaxed);
}

py::list kernels(const std::string& op) {
  py::list rows;
  for (const Kernel& kernel : op_named(op).rows) {
    py::list isas;
    for (int i = 0; i < CK_ISA_COUNT; ++i) isas.append(isa_name(static_cast<Isa>(i)));
    py::dict row;
    row["pass"] = kernel.pass;
    row["name"] = kernel.name;
    row["dtypes"] = dtype_names(kernel.dtypes);
    row["isas"] = isas;
    rows.append(row);
  }
  return rows;
}

py::tuple choices(const std::string& op, const std::string& name) {
  for (const ParamField& field : op_named(op).fields)
    if (name == field.name) {
      py::list names;
      for (const char* choice : field.choices) names.append(choice);
      return names;
    }
  throw py::value_error(op + " has no parameter " + name);
}

// ---- Python inside of a run ---------------------------------------------------------------------

// Callables of an executor's instructions that are written in Python. They are handed over with
// each run and never owned here, so that the garbage collector sees all that refers to a model.
using Callables = std::vector<py::object>;
thread_local const Callables* t_callables = nullptr;

class WithCallables {
 public:
  explicit WithCallables(const Callables& callables) : before_(t_callables) {
    t_callables = &callables;
  }
  ~WithCallables() { t_callables = before_; }
  WithCallables(const WithCallables&) = delete;
  WithCallables& operator=(const WithCallables&) = delete;

 private:
  const Callables* before_;
};

struct PythonParams {
  int64_t number;  // of the callable among those of the run
};

// The callable has views of the operands already. What it raises stays set in this thread's Python
// state and ends the run.
void call_python(const Call& call) {
  const OutsideRun outside;
  const py::gil_scoped_acquire acquire;
  const auto number = static_cast<std::size_t>(call.as<PythonParams>().number);
  try {
    t_callables->at(number)(from_block(*call.step));
  } catch (py::error_already_set& error) {
    error.restore();
    call.pool->cancel();
  }
}

const Kernel* python_row() {
  static const Kernel row = [] {
    Kernel kernel{"", "python", 0, {}};
    for (RunFn& run : kernel.run) run = &call_python;
    return kernel;
  }();
  return &row;
}

// ---- executor -----------------------------------------------------------------------------------

// (op, pass, row, params, operands, workspace, seconds)
using InstructionTuple =
    std::tuple<std::string, std::string, std::string, py::dict,
               std::vector<std::optional<RefTuple>>, std::optional<RefTuple>, double>;

Instruction to_instruction(const InstructionTuple& tuple) {
  const auto& [op, pass, name, params, operands, workspace, seconds] = tuple;
  Instruction instruction;
  instruction.kernel = &row_named(op, pass, name);
  instruction.params = to_params(op_named(op), params);
  for (const auto& operand : operands) instruction.operands.push_back(to_ref(operand));
  instruction.workspace = to_ref(workspace);
  instruction.seconds = seconds;
  return instruction;
}

Instruction to_instruction(int64_t number) {
  Instruction instruction;
  instruction.kernel = python_row();
  const PythonParams params{number};
  instruction.params.resize(sizeof params);
  std::memcpy(instruction.params.data(), &params, sizeof params);
  return instruction;
}

// A number stands for a call to Python.
using AnyInstruction = std::variant<int64_t, InstructionTuple>;

std::unique_ptr<Executor> make_executor(const std::vector<AnyInstruction>& given,
                                        const std::vector<RefTuple>& readouts,
                                        const std::vector<GuardTuple>& guards, int commit,
                                        int64_t batch) {
  std::vector<Instruction> instructions;
  for (const AnyInstruction& each : given)
    instructions.push_back(std::visit([](const auto& one) { return to_instruction(one); }, each));
  return std::make_unique<Executor>(std::move(instructions), to_readouts(readouts),
                                    to_guards(guards), commit, batch);
}

std::vector<void*> addresses(const std::vector<py::object>& buffers) {
  std::vector<void*> data;
  for (const py::object& object : buffers) {
    if (object.is_none()) {
      data.push_back(kNothing);
      continue;
    }
    const auto array = object.cast<py::array>();
    if (!(array.flags() & py::array::c_style)) throw py::value_error("buffer is not contiguous");
    data.push_back(array.size() ? const_cast<void*>(array.data()) : static_cast<void*>(kNothing));
  }
  return data;
}

py::tuple run_executor(Executor& executor, const std::vector<py::object>& buffers, int64_t steps,
                       const StepTuple& step, const std::optional<py::array_t<double>>& rates,
                       py::array_t<double> sums, double time_limit, const Callables& callables) {
  const WithCallables with(callables);
  executor.bind(addresses(buffers));
  const RunRequest request = to_request(steps, step, rates, sums, time_limit);
  RunResult result;
  {
    const py::gil_scoped_release release;
    result = executor.run(request);
  }
  return from_result(result);
}

py::array_t<double> profile_executor(Executor& executor, const std::vector<py::object>& buffers,
                                     const StepTuple& step, int repeats,
                                     const Callables& callables) {
  const WithCallables with(callables);
  executor.bind(addresses(buffers));
  std::vector<double> seconds;
  {
    const py::gil_scoped_release release;
    seconds = executor.profile(to_block(step), repeats);
  }
  if (PyErr_Occurred()) throw py::error_already_set();
  py::array_t<double> result(
      {static_cast<py::ssize_t>(repeats), static_cast<py::ssize_t>(executor.size())});
  std::copy(seconds.begin(), seconds.end(), result.mutable_data());
  return result;
}

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "Native kernels and executor of convkit; use the Python package.";
  m.def("ops", [] {
    std::vector<std::string> names;
    for (const OpTable* table : all_ops()) names.emplace_back(table->op);
    return names;
  });
  m.def("kernels", &kernels, py::arg("op"));
  m.def("choices", &choices, py::arg("op"), py::arg("field"));
  m.def("supports", &supports);
  m.def("workspace_bytes", &workspace_bytes);
  m.def("params_bytes", &params_bytes);
  m.def("call", &call_kernel);
  m.def("call_count", [](const std::string& op, const std::string& pass, const std::string& name) {
    return run_count(row_named(op, pass, name)).load();
  });

  m.def("isa", [] { return isa_name(active_isa()); });
  m.def("set_isa", [](const std::string& name) { set_active_isa(parse_isa(name)); });
  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (Isa isa : available_isas()) names.emplace_back(isa_name(isa));
    return names;
  });
  m.def("cpu_name", &cpu_model_name);
  m.def("usable_cpus", &usable_cpus);
  m.attr("thread_flops") = kThreadFlops;
  m.attr("thread_bytes") = kThreadBytes;
  m.def("worth_threads", &ThreadPool::worth_threads, py::arg("seconds"), py::arg("most"));
  m.def("num_threads", [] { return ThreadPool::instance().num_threads(); });
  // It waits for a loop of another thread, which may be waiting for the GIL to poll for signals.
  m.def(
      "set_num_threads", [](int n) { ThreadPool::instance().set_num_threads(n); },
      py::call_guard<py::gil_scoped_release>());
  m.def("blas_info", &blas_info);
  m.attr("cuda_build") = CK_CUDA_BUILD;
  m.def("peak_flops", &peak_flops, py::call_guard<py::gil_scoped_release>(), py::arg("seconds"));
  m.def("copy_bandwidth", &copy_bandwidth, py::call_guard<py::gil_scoped_release>(),
        py::arg("bytes"), py::arg("seconds"));
  py::class_<CopyTest>(m, "CopyTest")
      .def(py::init<int64_t>(), py::arg("bytes"))
      .def("bandwidth", &CopyTest::bandwidth, py::call_guard<py::gil_scoped_release>(),
           py::arg("seconds"));
  m.def("clock_rate", &clock_rate, py::call_guard<py::gil_scoped_release>(), py::arg("seconds"));

  py::class_<Buffer>(m, "Buffer", py::buffer_protocol())
      .def(py::init<int64_t>(), py::arg("bytes"))
      .def_property_readonly("nbytes", &Buffer::bytes)
      .def_buffer(
          [](Buffer& b) { return py::buffer_info(static_cast<uint8_t*>(b.data()), b.bytes()); });

  py::class_<Executor>(m, "Executor")
      .def(py::init(&make_executor), py::arg("instructions"), py::arg("readouts"),
           py::arg("guards"), py::arg("commit"), py::arg("batch"))
      .def("run", &run_executor, py::arg("buffers"), py::arg("steps"), py::arg("step"),
           py::arg("learning_rates"), py::arg("sums"), py::arg("time_limit"),
           py::arg("callables") = Callables())
      .def("profile", &profile_executor, py::arg("buffers"), py::arg("step"), py::arg("repeats"),
           py::arg("callables") = Callables());
}

}  // namespace
}  // namespace convkit
