// The bindings of the CUDA half: rows by op, pass and name, the executor, device memory. Params
// structs come as bytes, which the CPU's half makes (_core.params_bytes): fields have one list.
#include <cstring>
#include <memory>

#include "cuda/device.h"
#include "cuda/exchange.h"
#include "cuda/executor.h"
#include "cuda/kernel.h"
#include "cuda/placed_call.h"
#include "cuda/released.h"
#include "cuda/staging.h"
#include "python/marshal.h"
#if CK_CUDA_EMULATED
#include "cuda/emulator/emulator.h"
#endif

namespace convkit::cuda {
namespace {

const Kernel& row_named(const std::string& op, const std::string& pass, const std::string& name) {
  if (const Table* table = find_table(op))
    if (const Kernel* kernel = find_kernel(*table, pass, name)) return *kernel;
  throw py::value_error("no CUDA kernel " + op + "." + pass + " " + name);
}

std::vector<std::byte> to_bytes(const std::string& params) {
  std::vector<std::byte> bytes(params.size());
  if (!bytes.empty()) std::memcpy(bytes.data(), params.data(), params.size());
  return bytes;
}

py::list kernels(const std::string& op) {
  py::list rows;
  const Table* table = find_table(op);
  if (!table) return rows;
  for (const Kernel& kernel : table->rows) {
    py::dict row;
    row["pass"] = kernel.pass;
    row["name"] = kernel.name;
    row["dtypes"] = dtype_names(kernel.dtypes);
    row["proved"] = kProofNames[static_cast<int>(kernel.proved)];
    row["precision"] = kPrecisionNames[static_cast<int>(kernel.precision)];
    if (kernel.stage != nullptr) row["by_sample"] = kernel.by_sample;
    rows.append(row);
  }
  return rows;
}

bool supports(const std::string& op, const std::string& pass, const std::string& name,
              const std::vector<std::optional<Spec>>& specs, const py::bytes& params) {
  const Kernel& kernel = row_named(op, pass, name);
  return Query(to_bytes(params), specs).supported(kernel.dtypes, kernel.supports);
}

int64_t workspace_bytes(const std::string& op, const std::string& pass, const std::string& name,
                        const std::vector<std::optional<Spec>>& specs, const py::bytes& params) {
  const Kernel& kernel = row_named(op, pass, name);
  if (!kernel.workspace) return 0;
  return kernel.workspace(Query(to_bytes(params), specs).call).bytes();
}

// Copies arrays to the device for a call of a row.
std::unique_ptr<PlacedCall> place_call(const std::string& op, const std::string& pass,
                                       const std::string& name,
                                       const std::vector<py::object>& operands,
                                       const py::bytes& params, const StepTuple& step) {
  std::vector<Tensor> host;
  for (const py::object& operand : operands) host.push_back(to_tensor(operand));
  return std::make_unique<PlacedCall>(row_named(op, pass, name), to_bytes(params), std::move(host),
                                      to_block(step));
}

// Copies arrays to the device, runs a row, and copies back what it may have changed: all but the
// first `inputs` operands.
void call_kernel(const std::string& op, const std::string& pass, const std::string& name,
                 const std::vector<py::object>& operands, int inputs, const py::bytes& params,
                 const StepTuple& step) {
  const auto call = place_call(op, pass, name, operands, params, step);
  const Released released;
  call->run();
  call->copy_out_from(static_cast<std::size_t>(inputs));
}

// (op, pass, row, params, operands, workspace)
using InstructionTuple = std::tuple<std::string, std::string, std::string, py::bytes,
                                    std::vector<std::optional<RefTuple>>, std::optional<RefTuple>>;

std::unique_ptr<Executor> make_executor(const std::vector<InstructionTuple>& given,
                                        const std::vector<RefTuple>& readouts,
                                        const std::vector<GuardTuple>& guards, int commit,
                                        int64_t batch,
                                        const std::vector<std::pair<int, int>>& merged) {
  std::vector<Instruction> instructions;
  for (const auto& [op, pass, name, params, operands, workspace] : given) {
    Instruction instruction;
    instruction.kernel = &row_named(op, pass, name);
    instruction.params = to_bytes(params);
    for (const auto& operand : operands) instruction.operands.push_back(to_ref(operand));
    instruction.workspace = to_ref(workspace);
    instructions.push_back(std::move(instruction));
  }
  std::vector<Stretch> stretches;
  for (const auto& [begin, end] : merged) stretches.push_back({begin, end});
  return std::make_unique<Executor>(std::move(instructions), to_readouts(readouts),
                                    to_guards(guards), commit, batch, std::move(stretches));
}

// Addresses in device memory, as Memory.pointer gives them.
using Addresses = std::vector<uintptr_t>;

void bind(Executor& executor, const Addresses& addresses) {
  std::vector<void*> buffers;
  for (const uintptr_t address : addresses) buffers.push_back(reinterpret_cast<void*>(address));
  executor.bind(buffers);
}

py::tuple run_executor(Executor& executor, const Addresses& buffers, int64_t steps,
                       const StepTuple& step, const std::optional<py::array_t<double>>& rates,
                       py::array_t<double> sums, double time_limit) {
  RunRequest request = to_request(steps, step, rates, sums, time_limit);
  request.poll = [](void* context) {
    Released::look();
    return poll_signals(context);
  };
  RunResult result;
  {
    const Released released;
    bind(executor, buffers);
    result = executor.run(request);
  }
  return from_result(result);
}

py::array_t<double> profile_executor(Executor& executor, const Addresses& buffers,
                                     const StepTuple& step, int repeats) {
  std::vector<double> seconds;
  {
    const Released released;
    bind(executor, buffers);
    seconds = executor.profile(to_block(step), repeats);
  }
  py::array_t<double> result(
      {static_cast<py::ssize_t>(repeats), static_cast<py::ssize_t>(executor.size())});
  std::copy(seconds.begin(), seconds.end(), result.mutable_data());
  return result;
}

// How many of the bytes from an address on are in memory of the device, at most so many; None where
// the driver does not say.
std::optional<int64_t> extent(uintptr_t pointer, int64_t most) {
  const int64_t found = extent_of(reinterpret_cast<const void*>(pointer), most);
  return found < 0 ? std::nullopt : std::optional(found);
}

void copy_on_device(uintptr_t to, uintptr_t from, int64_t bytes) {
  copy_within(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
}

// Where bytes of a buffer are, after a check that they are in it.
std::byte* within(const Memory& memory, int64_t offset, int64_t bytes) {
  if (offset < 0 || bytes < 0 || offset > memory.bytes() - bytes)
    throw py::index_error("beyond the end of the device's buffer");
  return static_cast<std::byte*>(memory.data()) + offset;
}

py::array contiguous(const py::array& array) {
  if (!(array.flags() & py::array::c_style)) throw py::value_error("array is not contiguous");
  return array;
}

PYBIND11_MODULE(_cuda, m, py::mod_gil_not_used()) {
  m.doc() = "CUDA kernels and executor of convkit; use the Python package.";
  py::register_exception<Error>(m, "Error", PyExc_RuntimeError);
  m.attr("emulated") = static_cast<bool>(CK_CUDA_EMULATED);
  m.attr("most_readouts") = kMostReadouts;
#if CK_CUDA_EMULATED
  m.def("seed_schedule", &emulator::seed, py::arg("seed"));
  m.def("launch_count", &emulator::launch_count);
  m.def("set_memory", &emulator::set_memory, py::arg("bytes"));
#endif
  m.def("ops", [] {
    std::vector<std::string> names;
    for (const Table* table : all_tables()) names.emplace_back(table->op);
    return names;
  });
  m.def("kernels", &kernels, py::arg("op"));
  m.def("supports", &supports);
  m.def("workspace_bytes", &workspace_bytes);
  m.def("call", &call_kernel);
  m.def("call_count", [](const std::string& op, const std::string& pass, const std::string& name) {
    return run_count(row_named(op, pass, name)).load();
  });
  m.def("why_unavailable", &why_unavailable);
  py::module_::import("atexit").attr("register")(py::cpp_function(&Released::finish));
  m.def("memory_info", [] {
    const MemoryInfo info = memory_info();
    return std::make_pair(info.free, info.total);
  });
  m.def("device_info", [] {
    const DeviceInfo info = device_info();
    py::dict facts;
    facts["name"] = info.name;
    facts["capability"] = py::make_tuple(info.major, info.minor);
    facts["multiprocessors"] = info.multiprocessors;
    facts["shared_bytes"] = info.shared_bytes;
    facts["memory_bytes"] = info.memory_bytes;
    facts["driver"] = info.driver;
    facts["runtime"] = info.runtime;
    return facts;
  });

  py::class_<Memory>(m, "Memory", py::buffer_protocol())
      .def(py::init([](int64_t bytes, bool shared) {
             return std::make_unique<Memory>(bytes,
                                             shared ? MemoryKind::shared : MemoryKind::device);
           }),
           py::arg("bytes"), py::arg("shared"))
      .def_property_readonly("nbytes", &Memory::bytes)
      .def_property_readonly(
          "pointer",
          [](const Memory& memory) { return reinterpret_cast<uintptr_t>(memory.data()); })
      .def(
          "write",
          [](Memory& memory, const py::array& array, int64_t offset) {
            std::byte* to = within(memory, offset, array.nbytes());
            const void* from = contiguous(array).data();
            const int64_t bytes = array.nbytes();
            const Released released;
            copy_in(to, from, bytes);
          },
          py::arg("array"), py::arg("offset") = 0)
      .def(
          "read_into",
          [](const Memory& memory, py::array array, int64_t offset) {
            copy_out(contiguous(array).mutable_data(), within(memory, offset, array.nbytes()),
                     array.nbytes());
          },
          py::arg("array"), py::arg("offset") = 0)
      .def_buffer([](Memory& memory) {
        if (memory.kind() != MemoryKind::shared)
          throw py::buffer_error("the CPU cannot see the device's memory; copy it");
        return py::buffer_info(static_cast<uint8_t*>(memory.data()), memory.bytes());
      });

  m.def("copy", &copy_on_device, py::arg("to"), py::arg("from"), py::arg("bytes"));
  m.def("to_dlpack", &to_dlpack, py::arg("pointer"), py::arg("shape"), py::arg("dtype"),
        py::arg("device"), py::arg("owner"), py::arg("versioned"));
  m.def("from_dlpack", &from_dlpack, py::arg("capsule"));
  m.def("extent", &extent, py::arg("pointer"), py::arg("most"));
  m.def("finish", &finish, py::arg("stream"), py::call_guard<Released>());
  m.def("read_into", [](py::array array, uintptr_t pointer) {
    copy_out(contiguous(array).mutable_data(), reinterpret_cast<const void*>(pointer),
             array.nbytes());
  });

  const py::call_guard<Released> released;
  py::class_<Staging>(m, "Staging", py::buffer_protocol())
      .def(py::init<int64_t, int>(), py::arg("bytes"), py::arg("blocks"))
      .def_property_readonly(
          "pointer",
          [](const Staging& staging) { return reinterpret_cast<uintptr_t>(staging.device()); })
      .def("wait", &Staging::wait, py::arg("block"), released)
      .def("send", &Staging::send, py::arg("block"), py::arg("stretches"), released)
      .def(
          "begin",
          [](const Staging& staging, int block, const Executor& reader) {
            staging.begin(block, reader.stream());
          },
          py::arg("block"), py::arg("reader"))
      .def(
          "end",
          [](Staging& staging, int block, const Executor& reader) {
            staging.end(block, reader.stream());
          },
          py::arg("block"), py::arg("reader"))
      .def_buffer([](const Staging& staging) {
        return py::buffer_info(static_cast<uint8_t*>(staging.host()), staging.bytes());
      });

  py::class_<PlacedCall>(m, "PlacedCall")
      .def(py::init(&place_call))
      .def("seconds", &PlacedCall::seconds, py::arg("launches"), py::call_guard<Released>());

  py::class_<Executor>(m, "Executor")
      .def(py::init(&make_executor), py::arg("instructions"), py::arg("readouts"),
           py::arg("guards"), py::arg("commit"), py::arg("batch"), py::arg("merged"))
      .def("run", &run_executor, py::arg("buffers"), py::arg("steps"), py::arg("step"),
           py::arg("learning_rates"), py::arg("sums"), py::arg("time_limit"))
      .def("profile", &profile_executor, py::arg("buffers"), py::arg("step"), py::arg("repeats"));
}

}  // namespace
}  // namespace convkit::cuda
