# CUDA as a language of this build. Included only when BITMILL_CUDA is on.

if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90)  # Hopper; before enable_language, which would choose its own
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

# The NCCL that libtorch_cuda loads, too: one in a process. From the toolkit, the system, or the
# wheel beside libtorch's; launch/setup.sh brings it.
file(GLOB _nccl_wheel "${LIBTORCH_ROOT}/../nvidia/*/include/nccl.h")
if(_nccl_wheel)
  list(GET _nccl_wheel 0 _nccl_wheel)
  get_filename_component(_nccl_wheel "${_nccl_wheel}/../.." ABSOLUTE)
endif()
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} "${_nccl_wheel}/include")
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS "${CUDAToolkit_LIBRARY_DIR}"
  "${CUDAToolkit_ROOT}/lib" "${_nccl_wheel}/lib")
if(NOT NCCL_INCLUDE_DIR OR NOT NCCL_LIBRARY)
  message(FATAL_ERROR "no NCCL (nccl.h and libnccl.so.2) with the CUDA toolkit, in the system, or "
    "beside libtorch: run launch/setup.sh --with-cuda, or set NCCL_INCLUDE_DIR and NCCL_LIBRARY")
endif()
add_library(BitmillNccl::nccl INTERFACE IMPORTED)
target_include_directories(BitmillNccl::nccl SYSTEM INTERFACE "${NCCL_INCLUDE_DIR}")
target_link_libraries(BitmillNccl::nccl INTERFACE "${NCCL_LIBRARY}")

# CMake 3.25 does not know that nvcc 12 and later take C++20.
foreach(_kind STANDARD EXTENSION)
  if(NOT CMAKE_CUDA20_${_kind}_COMPILE_OPTION)
    set(CMAKE_CUDA20_${_kind}_COMPILE_OPTION -std=c++20)
  endif()
endforeach()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
# libtorch brings the shared runtime, and two runtimes in a process do not see each other's streams.
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
