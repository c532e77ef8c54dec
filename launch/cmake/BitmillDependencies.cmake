# Everything that is not ours. launch/setup.sh installs it.

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
# Its .pc file also names the library that trains models.
find_library(SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
find_package(LibTorch REQUIRED)
# The same for a program in the build folder and an installed one: absolute, so that it runs from
# wherever it is copied to on this machine.
set(CMAKE_INSTALL_RPATH "${LIBTORCH_RPATH}")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
if(BITMILL_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
