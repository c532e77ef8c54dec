# Compiler settings, and the functions with which every folder declares itself.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Several sources of a folder are compiled as one: most of the time goes into reading headers (see
# CONTRIBUTING.md). So a name in an anonymous namespace is unique within its folder.
option(BITMILL_UNITY "Compile several sources at once: a third of the time for all of them" ON)
set(CMAKE_UNITY_BUILD ${BITMILL_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE}")
endif()

option(BITMILL_WERROR "Warnings are errors; off where the compiler is one that CI does not know" ON)
add_library(bitmill_options INTERFACE)
target_compile_options(bitmill_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion
    $<$<BOOL:${BITMILL_WERROR}>:-Werror>
    $<$<NOT:$<BOOL:$<TARGET_PROPERTY:BITMILL_MAY_SHADOW>>>:-Wshadow>>
  # A fused multiply-add rounds once where two operations round twice: the last bit of every
  # result would depend on what the compiler chose to fuse.
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
  # nvcc's own generated code is not pedantic. Relaxed constexpr: kernels share the constexpr
  # functions of format/packed_layout.hpp with the host.
  $<$<COMPILE_LANGUAGE:CUDA>:$<$<BOOL:${BITMILL_WERROR}>:--Werror=all-warnings>
    --expt-relaxed-constexpr
    -Xcompiler=-Wall,-Wextra,-Wshadow>)
target_include_directories(bitmill_options INTERFACE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}")
if(BITMILL_SANITIZE)
  target_compile_options(bitmill_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${BITMILL_SANITIZE} -fno-omit-frame-pointer>)
  target_link_options(bitmill_options INTERFACE -fsanitize=${BITMILL_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # it takes parts of its own <regex> for uninitialized
    target_compile_options(bitmill_options INTERFACE
      $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  endif()
endif()

# What Open MPI leaves behind was allocated by modules that it unloads: nothing tells it from what
# we leave. So leaks are looked for in processes that do not start MPI.
set(BITMILL_MPI_LEAKS "")
if(BITMILL_SANITIZE MATCHES "address")
  set(BITMILL_MPI_LEAKS LSAN_OPTIONS=detect_leaks=0)
endif()

# bitmill_cuda_as_cpp(sources...): these .cu files are compiled as C++, for the emulator, in targets
# of the folder that says so.
function(bitmill_cuda_as_cpp)
  set_property(SOURCE ${ARGN} PROPERTY LANGUAGE CXX)
  # `#pragma unroll` is nvcc's. A kernel reads two floats as one number, as CUDA allows. What GCC
  # takes for uninitialized is behind the same condition that guards its use.
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS -Wno-unknown-pragmas
    -fno-strict-aliasing $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endfunction()

# bitmill_layer(NAME [libraries...]): the static library of src/NAME, its rooms included, linked to
# what it may see.
function(bitmill_layer name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")  # belongs to a program, not to a library
  if(NOT sources)
    add_library(bitmill_${name} INTERFACE)
    target_link_libraries(bitmill_${name} INTERFACE bitmill_options ${ARGN})
    return()
  endif()
  add_library(bitmill_${name} STATIC ${sources})
  target_link_libraries(bitmill_${name} PUBLIC bitmill_options ${ARGN})
endfunction()

# bitmill_tests(NAME [LABELS unit] [TIMEOUT seconds] [LIBRARIES ...]): one binary from
# tests/NAME/**/*_test.cpp, every test registered with ctest under its own name and a time limit;
# with a sanitizer, the whole binary as one test.
function(bitmill_tests name)
  cmake_parse_arguments(arg "" "LABELS;TIMEOUT" "LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cpp")
  if(NOT sources)
    return()
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${arg_LIBRARIES} GTest::gmock GTest::gtest_main)
  target_include_directories(test_${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
  # A local name may be that of a constant in another test file, which is compiled with it.
  set_target_properties(test_${name} PROPERTIES BITMILL_MAY_SHADOW ${BITMILL_UNITY})
  # Only where it is used: with a path of this clone on its command line, an object is not found in
  # the ccache of another.
  foreach(source ${sources})
    file(STRINGS "${source}" uses REGEX BITMILL_SOURCE_DIR)
    if(uses)
      set_property(SOURCE "${source}" APPEND PROPERTY
        COMPILE_DEFINITIONS BITMILL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    endif()
  endforeach()
  if(BITMILL_SANITIZE)  # loading libtorch would take most of the time: one process for all
    add_test(NAME ${name} COMMAND test_${name} --gtest_brief=1)
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 7200)
    if(arg_LABELS STREQUAL "mpi")
      set_tests_properties(${name} PROPERTIES ENVIRONMENT "${BITMILL_MPI_LEAKS}")
    endif()
    return()
  endif()
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
endfunction()
