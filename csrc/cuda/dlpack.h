// The structs of DLPack 1.0 (dmlc/dlpack), in which libraries hand each other arrays, and the
// capsules that carry them. Only what convkit gives and takes: contiguous arrays of one device.
#pragma once

#include <cstdint>

namespace convkit::cuda::dlpack {

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : uint8_t { kInt = 0, kUint = 1, kFloat = 2 };

struct Device {
  int32_t type, id;
};
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: compact and row-major
  uint64_t byte_offset;
};

// Of the first protocol: a capsule "dltensor", renamed "used_dltensor" by who takes it.
struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

// Of version 1: "dltensor_versioned".
struct VersionedTensor {
  uint32_t major, minor;
  void* context;
  void (*deleter)(VersionedTensor*);
  uint64_t flags;
  Tensor tensor;
};
constexpr uint64_t kReadOnly = 1, kCopied = 2;

}  // namespace convkit::cuda::dlpack
