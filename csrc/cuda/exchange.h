// Arrays in a GPU's memory, from other libraries and for them, without a copy.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

namespace convkit::cuda {

namespace py = pybind11;

// A DLPack capsule of an array that `owner` keeps alive.
py::capsule to_dlpack(uintptr_t pointer, const std::vector<int64_t>& shape,
                      const std::string& dtype, int device, const py::object& owner,
                      bool versioned);

// (pointer, shape, dtype, device, keeper) of a capsule, which is used up; the memory is there while
// the keeper is. Throws where no kernel could take the array.
py::tuple from_dlpack(const py::object& capsule);

// What is put on stream `after` from now on waits for what is on stream `before`; streams as
// cudaStream_t in numbers, 0 the default one.
void order_after(uintptr_t before, uintptr_t after);

}  // namespace convkit::cuda
