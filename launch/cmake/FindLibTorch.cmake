# Imported target LibTorch::LibTorch from the torch wheel, without find_package(Torch), which
# would overwrite CUDA flags and want nvcc even for a CPU build.
#
#   LIBTORCH_ROOT   <site-packages>/torch; by default the one that launch/setup.sh installed
#
# A CPU build links torch_cpu and c10 only, so that a CUDA wheel's GPU libraries are not loaded.
# LIBTORCH_RPATH is left for the caller: where a program finds these libraries when it runs.

if(NOT LIBTORCH_ROOT)
  execute_process(COMMAND "${CMAKE_SOURCE_DIR}/launch/setup.sh" --print-libtorch
    OUTPUT_VARIABLE LIBTORCH_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
set(LIBTORCH_ROOT "${LIBTORCH_ROOT}" CACHE PATH "torch package directory")
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h
  PATHS "${LIBTORCH_ROOT}/include" NO_DEFAULT_PATH NO_CACHE)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LIBTORCH_ROOT LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run launch/setup.sh, or set LIBTORCH_ROOT to <site-packages>/torch")

get_filename_component(_site "${LIBTORCH_ROOT}/.." ABSOLUTE)
file(GLOB _wheel_library_dirs "${_site}/nvidia/*/lib")  # what the torch wheel itself links to
set(_libraries torch_cpu c10)
if(BITMILL_CUDA)
  list(APPEND _libraries torch_cuda c10_cuda)
elseif(BITMILL_EMULATED)
  list(APPEND _libraries c10_cuda)  # its operators are those of tests/emulation/torch
endif()

add_library(LibTorch::LibTorch INTERFACE IMPORTED)
# After the system's folders: the wheel brings headers of its own {fmt}, whose library it does not.
foreach(_dir "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_compile_options(LibTorch::LibTorch INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-idirafter \"${_dir}\">")
endforeach()
# torch_cuda registers its operators when it is loaded; nothing refers to it by symbol.
# Old tags: a DT_RPATH of ours also serves what libtorch is linked to, a DT_RUNPATH would not.
target_link_options(LibTorch::LibTorch INTERFACE "LINKER:--no-as-needed" "LINKER:--disable-new-dtags")
foreach(_library ${_libraries})
  target_link_libraries(LibTorch::LibTorch INTERFACE "${LIBTORCH_ROOT}/lib/lib${_library}.so")
endforeach()
foreach(_dir "${LIBTORCH_ROOT}/lib" ${_wheel_library_dirs} /usr/local/cuda/lib64)
  if(IS_DIRECTORY "${_dir}")
    list(APPEND LIBTORCH_RPATH "${_dir}")
    target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath-link,${_dir}")
  endif()
endforeach()
