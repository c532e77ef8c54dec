# CUDA as a language of this build. Included only when BITMILL_CUDA is on.

if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90)  # Hopper; before enable_language, which would choose its own
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

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
