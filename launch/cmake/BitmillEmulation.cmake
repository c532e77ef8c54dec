# CUDA without a GPU: the libraries of tests/emulation in the place of CUDA's. Included only when
# BITMILL_EMULATED is on. Leaves emulation_cudart, emulation_cublaslt and emulation_nccl, and
# LibTorch::LibTorch with tensors on devices.

if(BITMILL_CUDA)
  message(FATAL_ERROR "BITMILL_EMULATED and BITMILL_CUDA exclude each other: "
    "the first links stand-ins for the libraries of the second")
endif()
if(NOT BITMILL_TESTS)
  message(FATAL_ERROR "BITMILL_EMULATED needs BITMILL_TESTS: the stand-ins lie in tests/emulation")
endif()
if(BITMILL_SANITIZE)
  message(FATAL_ERROR "BITMILL_EMULATED does not work with BITMILL_SANITIZE: "
    "memory faults belong to the emulation; kernels have the preset emulated-tsan")
endif()

set(_how "run launch/setup.sh --with-emulation, which installs what the emulation needs")
if(NOT EXISTS "${LIBTORCH_ROOT}/lib/libc10_cuda.so")
  message(FATAL_ERROR "the emulation needs libc10_cuda.so, which ${LIBTORCH_ROOT}/lib lacks: ${_how}")
endif()

# The toolkit's headers, or those that set-up took from their wheels.
if(NOT EMULATION_CUDA_INCLUDE)
  execute_process(COMMAND "${CMAKE_SOURCE_DIR}/launch/setup.sh" --print-headers
    OUTPUT_VARIABLE EMULATION_CUDA_INCLUDE OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
set(EMULATION_CUDA_INCLUDE "${EMULATION_CUDA_INCLUDE}" CACHE PATH
  "folder of CUDA's headers, NCCL's and cuBLASLt's among them")
foreach(_header cuda_runtime_api.h crt/host_defines.h nv/target cublasLt.h nccl.h)
  if(NOT EXISTS "${EMULATION_CUDA_INCLUDE}/${_header}")
    message(FATAL_ERROR "the emulation needs CUDA 13's header ${_header}, which is not in "
      "'${EMULATION_CUDA_INCLUDE}': ${_how}")
  endif()
endforeach()
# The stand-ins declare what these versions declare.
function(_require_version header pattern wanted)
  file(STRINGS "${EMULATION_CUDA_INCLUDE}/${header}" line REGEX "${pattern}")
  if(NOT line MATCHES "${wanted}")
    message(FATAL_ERROR "${EMULATION_CUDA_INCLUDE}/${header} says '${line}'; the emulation was "
      "written for ${wanted}: ${_how}")
  endif()
endfunction()
_require_version(cuda_runtime_api.h "define CUDART_VERSION +" "130[0-9][0-9]")
_require_version(nccl.h "define NCCL_VERSION_CODE " "228[0-9][0-9]")

# Before the folders of the real libraries, which have the same names.
list(PREPEND CMAKE_INSTALL_RPATH "${CMAKE_BINARY_DIR}/lib")

add_subdirectory(tests/emulation)
# After emulation_torch, which is linked to libtorch itself. First in the list, so that these are
# loaded before libc10_cuda asks for the runtime.
get_target_property(_libraries LibTorch::LibTorch INTERFACE_LINK_LIBRARIES)
set_property(TARGET LibTorch::LibTorch PROPERTY INTERFACE_LINK_LIBRARIES
  emulation_cudart emulation_torch ${_libraries})
