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

// Waits for what is on a stream, a cudaStream_t as a number: 0 and 1 are the default one.
void finish(uintptr_t stream);

}  // namespace convkit::cuda
