// The instruction sets that kernels are compiled for, and the rules that keep them apart.
//
// A kernel source is compiled once per ISA with -DCK_ISA=baseline|avx2|avx512 and
// -DCK_ISA_LEVEL=0|1|2 and puts everything it defines into namespace convkit::CK_ISA.
//
// The ODR trap. An inline function (or template instance) that the compiler does not inline is
// emitted in every object that uses it, and the linker keeps ONE copy, whichever comes first. If
// that copy comes from an AVX-512 object, the baseline path executes AVX-512 code and dies with
// SIGILL on an older machine; no test on a newer one can notice. Therefore every helper in a header
// that kernel sources share is either CK_INLINE (never emitted) or inside namespace convkit::CK_ISA
// (another symbol per ISA). The same holds for the standard library: no std::vector, std::sort or
// std::string in a kernel source; use plain arrays and the CK_INLINE helpers of simd/vec.h.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#define CK_X86_64 1
#else
#define CK_X86_64 0
#endif

// How many ISAs the build compiles kernels for; the build may lower it to 1.
#ifndef CK_ISA_COUNT
#if CK_X86_64
#define CK_ISA_COUNT 3
#else
#define CK_ISA_COUNT 1
#endif
#endif

// Helpers of scalars are shared with CUDA kernels, which are compiled with -DCK_ISA=cuda.
#ifdef __CUDACC__
#define CK_INLINE __host__ __device__ __forceinline__
#define CK_SCALAR __host__ __device__
#else
#define CK_INLINE inline __attribute__((always_inline))
#define CK_SCALAR  // in front of a template of scalars that need not be inlined
#endif

// Inlined as well, and on the host alone: what calls its lambdas.
#define CK_HOST_INLINE inline __attribute__((always_inline))

namespace convkit {

// Ordered: a machine that has one has all below it.
//   baseline  x86-64 (SSE2, no FMA), or plain code of another architecture
//   avx2      AVX2 + FMA (+ BMI, F16C): x86-64-v3
//   avx512    AVX-512 F, BW, CD, DQ, VL: x86-64-v4, skylake-avx512
enum class Isa : int { baseline = 0, avx2 = 1, avx512 = 2 };

constexpr int kIsaCount = CK_ISA_COUNT;
constexpr const char* kIsaNames[3] = {"baseline", "avx2", "avx512"};

CK_INLINE constexpr const char* isa_name(Isa isa) { return kIsaNames[static_cast<int>(isa)]; }

}  // namespace convkit
