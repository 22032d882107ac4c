#include "cuda/exchange.h"

#include <memory>
#include <string>
#include <vector>

#include "cuda/device.h"
#include "cuda/dlpack.h"
#include "python/marshal.h"

namespace convkit::cuda {
namespace {

using dlpack::ManagedTensor;
using dlpack::VersionedTensor;

constexpr dlpack::DataType kTypes[kDtypeCount] = {
    {dlpack::kFloat, 32, 1}, {dlpack::kFloat, 64, 1}, {dlpack::kUint, 8, 1},
    {dlpack::kInt, 32, 1},   {dlpack::kInt, 64, 1},
};

// What a capsule of ours owns: the shape, and a reference to the Python object with the memory.
template <class Managed>
struct Owned {
  Managed managed{};
  std::vector<int64_t> shape;
  PyObject* owner;
};

template <class Managed>
void release(Managed* managed) {
  auto* owned = static_cast<Owned<Managed>*>(managed->context);
  {
    const py::gil_scoped_acquire acquire;  // the taker may be on any thread
    Py_DECREF(owned->owner);
  }
  delete owned;
}

template <class Managed>
py::capsule export_as(const char* name, uintptr_t pointer, const std::vector<int64_t>& shape,
                      Dtype dtype, int device, const py::object& owner) {
  auto owned = std::make_unique<Owned<Managed>>();
  owned->shape = shape;
  dlpack::Tensor& tensor = owned->managed.tensor;
  tensor.data = reinterpret_cast<void*>(pointer);
  tensor.device = {dlpack::kCuda, device};
  tensor.ndim = static_cast<int32_t>(shape.size());
  tensor.dtype = kTypes[static_cast<int>(dtype)];
  tensor.shape = owned->shape.data();
  owned->managed.context = owned.get();
  owned->managed.deleter = &release<Managed>;
  if constexpr (std::is_same_v<Managed, VersionedTensor>) owned->managed.major = 1;
  // A capsule that nobody took still owns the tensor.
  PyObject* capsule = PyCapsule_New(&owned->managed, name, [](PyObject* object) {
    const char* called = PyCapsule_GetName(object);
    if (called == nullptr || std::string(called).rfind("used_", 0) == 0) return;
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(object, called));
    managed->deleter(managed);
  });
  if (!capsule) throw py::error_already_set();
  owned->owner = owner.inc_ref().ptr();
  owned.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

Dtype dtype_of(const dlpack::DataType& type) {
  for (int i = 0; i < kDtypeCount; ++i)
    if (type.code == kTypes[i].code && type.bits == kTypes[i].bits && type.lanes == 1)
      return static_cast<Dtype>(i);
  throw py::type_error(
      "the array's dtype is not one that kernels take: float32, float64, uint8, int32 or int64");
}

bool compact(const dlpack::Tensor& tensor) {
  if (!tensor.strides) return true;
  int64_t stride = 1;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

template <class Managed>
py::tuple import_as(const py::object& capsule, const char* name, const char* used) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), name));
  if (!managed) throw py::error_already_set();
  const dlpack::Tensor& tensor = managed->tensor;
  if constexpr (std::is_same_v<Managed, VersionedTensor>)
    if (managed->major != 1) throw py::value_error("the array speaks another version of DLPack");
  if (tensor.device.type != dlpack::kCuda && tensor.device.type != dlpack::kCudaManaged)
    throw py::value_error("the array is not in the memory of a GPU");
  if (tensor.ndim > kMaxRank) throw py::value_error("the array has more than 6 dimensions");
  if (!compact(tensor))
    throw py::value_error(
        "the array is not contiguous in row-major order; pass x.contiguous(), and of images in "
        "channels_last memory x.permute(0, 2, 3, 1), which is a view without a copy");
  const Dtype dtype = dtype_of(tensor.dtype);
  const py::tuple shape(static_cast<std::size_t>(tensor.ndim));
  for (int i = 0; i < tensor.ndim; ++i)
    shape[static_cast<std::size_t>(i)] = py::int_(tensor.shape[i]);
  const uintptr_t pointer = reinterpret_cast<uintptr_t>(tensor.data) + tensor.byte_offset;
  if (PyCapsule_SetName(capsule.ptr(), used) != 0) throw py::error_already_set();
  const py::capsule keeper(managed, [](void* taken) {
    auto* whole = static_cast<Managed*>(taken);
    if (whole->deleter) whole->deleter(whole);
  });
  return py::make_tuple(pointer, shape, kDtypeNames[static_cast<int>(dtype)], tensor.device.id,
                        keeper);
}

}  // namespace

py::capsule to_dlpack(uintptr_t pointer, const std::vector<int64_t>& shape,
                      const std::string& dtype, int device, const py::object& owner,
                      bool versioned) {
  const Dtype type = to_dtype(dtype);
  if (versioned)
    return export_as<VersionedTensor>("dltensor_versioned", pointer, shape, type, device, owner);
  return export_as<ManagedTensor>("dltensor", pointer, shape, type, device, owner);
}

py::tuple from_dlpack(const py::object& capsule) {
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned"))
    return import_as<VersionedTensor>(capsule, "dltensor_versioned", "used_dltensor_versioned");
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    return import_as<ManagedTensor>(capsule, "dltensor", "used_dltensor");
  throw py::value_error("not a DLPack capsule, or one that has been used");
}

void finish(uintptr_t stream) {
  require(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(stream)), "wait for a stream");
}

}  // namespace convkit::cuda
