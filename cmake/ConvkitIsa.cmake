# Compiles the kernel sources once per instruction set. The sources know theirs by CK_ISA (the
# namespace of the kernels) and CK_ISA_LEVEL (its index in a row of the kernel table).

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(CONVKIT_ISAS baseline avx2 avx512)
  # Said aloud, so that a -march=native in CXXFLAGS cannot reach the baseline.
  set(CONVKIT_BASELINE_FLAGS -march=x86-64)
  # The kernels for processors without AVX2, of before 2013, are small rather than fast: every wheel
  # carries them, and hardly a machine runs them.
  set(CONVKIT_BASELINE_KERNEL_FLAGS -Os)
  set(CONVKIT_AVX2_FLAGS -march=x86-64 -mavx2 -mfma -mf16c)
  set(CONVKIT_AVX512_FLAGS -march=skylake-avx512 -mprefer-vector-width=512)
else()
  set(CONVKIT_ISAS baseline)
  set(CONVKIT_BASELINE_FLAGS "")
endif()
list(LENGTH CONVKIT_ISAS CONVKIT_ISA_COUNT)
list(JOIN CONVKIT_ISAS ", " isa_names)
message(STATUS "convkit: kernels for ${isa_names}")

# convkit_add_isa_kernels(<target> <source>...)
#
# Makes one object library per ISA, <target>_<isa>, and links it into <target>. The order matters:
# of an inline function that several objects define, the linker keeps the first copy. So the target's
# own objects come first and an older ISA before a newer one; that is why the objects are link items
# and not sources of the target, which the linker would see before its own.
function(convkit_add_isa_kernels target)
  if(NOT ARGN)
    return()
  endif()
  set(level 0)
  foreach(isa IN LISTS CONVKIT_ISAS)
    string(TOUPPER "${isa}" upper)
    add_library(${target}_${isa} OBJECT ${ARGN})
    target_link_libraries(${target}_${isa} PRIVATE convkit_options)
    # Kernels throw nothing, so they need no tables to unwind by.
    target_compile_options(${target}_${isa} PRIVATE
      ${CONVKIT_${upper}_FLAGS} ${CONVKIT_${upper}_KERNEL_FLAGS}
      -fno-exceptions -fno-asynchronous-unwind-tables)
    target_compile_definitions(${target}_${isa} PRIVATE CK_ISA=${isa} CK_ISA_LEVEL=${level})
    target_link_libraries(${target} PRIVATE $<TARGET_OBJECTS:${target}_${isa}>)
    math(EXPR level "${level} + 1")
  endforeach()
endfunction()
