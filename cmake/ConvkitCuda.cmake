# The CUDA half: convkit/_cuda, of kernels *_cuda*.cu that nvcc compiles for GPUs or, to prove them
# without one, g++ for the emulator in csrc/cuda/emulator.

set(CONVKIT_CUDA_ARCHITECTURES
  "75-real;80-real;86-real;89-real;90a-real;100-real;120-real;80-virtual;120-virtual"
  CACHE STRING "GPUs to compile for; the virtual ones are what the driver translates for others")

# convkit_add_cuda(<variable>)
#
# Adds the target _cuda as CONVKIT_CUDA asks, and stores a line that says what came of it, for
# `convkit info`.
macro(convkit_add_cuda variable)
  string(TOUPPER "${CONVKIT_CUDA}" cuda_mode)
  if(NOT cuda_mode MATCHES "^(AUTO|ON|OFF|EMULATE)$")
    message(FATAL_ERROR "CONVKIT_CUDA is AUTO, ON, OFF or EMULATE, not \"${CONVKIT_CUDA}\"")
  endif()
  string(TOLOWER "${cuda_mode}" ${variable})
  if(cuda_mode STREQUAL "EMULATE")
    string(APPEND ${variable} ": emulated on the CPU, for tests")
    _convkit_cuda_target(TRUE)
  elseif(NOT cuda_mode STREQUAL "OFF")
    # Before the language is enabled, or CMake chooses for itself.
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES ${CONVKIT_CUDA_ARCHITECTURES})
    endif()
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      enable_language(CUDA)
      string(APPEND ${variable} ": nvcc ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
      string(REPLACE ";" " " ${variable} "${${variable}}")
      _convkit_cuda_target(FALSE)
    elseif(cuda_mode STREQUAL "ON")
      message(FATAL_ERROR "CONVKIT_CUDA=ON, but no working CUDA compiler was found. Put nvcc on "
                          "the PATH or set CUDACXX, or build with CONVKIT_CUDA=AUTO.")
    else()
      string(APPEND ${variable} ": no nvcc found")
    endif()
  endif()
  message(STATUS "convkit: CUDA ${${variable}}")
endmacro()

# Writes the list of the tables that there are.
function(_convkit_cuda_tables output)
  file(GLOB tables CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/csrc/ops" csrc/ops/*/*_cuda.cu)
  set(declarations "")
  set(addresses "")
  foreach(path IN LISTS tables)
    cmake_path(GET path PARENT_PATH op)
    list(APPEND declarations "CK_DECLARE_TABLE(${op})")
    list(APPEND addresses "&${op}_cuda_table")
  endforeach()
  list(LENGTH addresses count)
  list(JOIN declarations "\n" declarations)
  list(JOIN addresses ", " addresses)
  configure_file(csrc/cuda/tables.cpp.in "${output}" @ONLY)
endfunction()

function(_convkit_cuda_target emulated)
  set(tables "${CMAKE_CURRENT_BINARY_DIR}/cuda_tables.cpp")
  _convkit_cuda_tables("${tables}")
  file(GLOB kernels CONFIGURE_DEPENDS csrc/ops/*/*_cuda*.cu csrc/cuda/*.cu)
  file(GLOB sources CONFIGURE_DEPENDS csrc/cuda/*.cpp)
  if(emulated)
    file(GLOB emulator CONFIGURE_DEPENDS csrc/cuda/emulator/*.cpp)
    list(APPEND sources ${emulator})
    if(CONVKIT_SANITIZE MATCHES thread)
      # It sees the threads of a block, and must not look into what runs them.
      set_property(SOURCE ${emulator} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=thread)
      set_property(SOURCE ${emulator} APPEND PROPERTY COMPILE_DEFINITIONS CK_EMULATOR_TSAN=1)
    endif()
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX)
    set_property(SOURCE ${kernels} APPEND PROPERTY COMPILE_OPTIONS -xc++)
  endif()
  # Which pixels augment takes must not depend on the device.
  file(GLOB augment CONFIGURE_DEPENDS csrc/ops/augment/*_cuda*.cu)
  set_property(SOURCE ${augment} APPEND PROPERTY COMPILE_OPTIONS
    $<IF:$<BOOL:${emulated}>,-ffp-contract=off,-fmad=false>)
  pybind11_add_module(_cuda MODULE NO_EXTRAS ${sources} ${tables} ${kernels})
  target_include_directories(_cuda PRIVATE csrc)
  target_compile_definitions(_cuda PRIVATE
    CK_ISA_COUNT=${CONVKIT_ISA_COUNT} CK_ISA=cuda CK_CUDA_EMULATED=$<BOOL:${emulated}>)
  target_compile_options(_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:${CONVKIT_BASELINE_FLAGS} -Wall -Wextra -fno-math-errno>)
  target_link_libraries(_cuda PRIVATE Threads::Threads)
  # The bindings, and kernels that are run by the emulator, are small rather than fast.
  target_compile_options(_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O2>)
  if(CONVKIT_SANITIZE)
    target_link_libraries(_cuda PRIVATE convkit_sanitizers)
    target_compile_options(_cuda PRIVATE -O1)
  endif()
  if(NOT emulated)
    find_package(CUDAToolkit REQUIRED)
    set_target_properties(_cuda PROPERTIES
      CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static
      CUDA_VISIBILITY_PRESET hidden)
    target_link_libraries(_cuda PRIVATE CUDA::cudart_static)
    target_compile_options(_cuda PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size -Xcompiler=-Wall>)
  endif()
  install(TARGETS _cuda DESTINATION convkit)
endfunction()
