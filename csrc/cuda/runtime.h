// All of CUDA that convkit uses: the toolkit's headers, or our own emulator where the build defines
// CK_CUDA_EMULATED=1. No other file includes a header of CUDA, so that one source serves both.
//
//   CK_DEVICE                        in front of a function that runs on the device
//   CK_SHARED(T, name, [R][C])       a shared array of the block
//   CK_DYN_SHARED(T, name)           T* name: the shared memory whose size the launch gives
//   CK_UNROLL                        in front of a loop that is to be unrolled
//   CK_CUDA_EMULATED                 1 on the emulator, else 0
//
// Both kinds of shared memory are aligned for 16-byte accesses, dynamic one for 128-byte ones.
#pragma once

#ifndef CK_CUDA_EMULATED
#define CK_CUDA_EMULATED 0
#endif

#if !CK_CUDA_EMULATED

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define CK_DEVICE __device__ __forceinline__
#define CK_UNROLL _Pragma("unroll")
#define CK_ROLLED _Pragma("unroll 1")  // for bodies that are long, or want all registers
#define CK_SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#define CK_DYN_SHARED(T, name)                                              \
  extern __shared__ __align__(128) unsigned char ck_dynamic_shared_bytes[]; \
  T* const name = reinterpret_cast<T*>(ck_dynamic_shared_bytes)

#else

#define CK_DEVICE inline
#define CK_UNROLL  // the emulator's threads would not be faster, and compile much longer
#define CK_ROLLED
// The static object is one per instance of the enclosing function, as a __shared__ array is.
#define CK_SHARED(T, name, ...)                                                              \
  static constinit ::convkit::emulator::SharedArray ck_shared_##name{#name,                  \
                                                                     sizeof(T __VA_ARGS__)}; \
  auto& name = *static_cast<T(*) __VA_ARGS__>(::convkit::emulator::shared(ck_shared_##name))
#define CK_DYN_SHARED(T, name) \
  T* const name = static_cast<T*>(::convkit::emulator::dynamic_shared())

#include "cuda/emulator/device.h"
#include "cuda/emulator/runtime.h"

#endif
