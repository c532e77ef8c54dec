#!/bin/bash
# A call that is not emulated is found when a program is linked, or when libtorch's libraries are:
# never while it runs.
#
#   missing_calls.sh COMPILER HEADERS LIBRARIES LIBTORCH_LIB
set -euo pipefail

readonly compiler=$1 headers=$2 libraries=$3 libtorch=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# links LIBRARY HEADER CALL: the linker's verdict on a program with that call.
links() {
  printf '#include <%s>\nint main() { return static_cast<int>(%s); }\n' "$2" "$3" >"$folder/one.cpp"
  "$compiler" -std=c++20 -isystem "$headers" "$folder/one.cpp" -o "$folder/one" "$libraries/$1" \
    -Wl,-rpath-link,"$libraries" 2>"$folder/words"
}
expect_links() {
  links "$@" || { cat "$folder/words"; echo "does not link: $3"; failed=1; }
}
expect_missing() {
  if links "$@"; then
    echo "links, and should not: $3"
    failed=1
  elif ! grep -q 'undefined reference' "$folder/words"; then
    cat "$folder/words"
    echo "did not come to be linked: $3"
    failed=1
  fi
}

expect_links libcudart.so.13 cuda_runtime_api.h 'cudaDeviceSynchronize()'
expect_links libnccl.so.2 nccl.h 'ncclGroupStart()'
expect_missing libcudart.so.13 cuda_runtime_api.h 'cudaDeviceReset()'
expect_missing libcudart.so.13 cuda_runtime_api.h 'cudaMallocManaged(nullptr, 1, 1)'
expect_missing libnccl.so.2 nccl.h \
  'ncclAllReduce(nullptr, nullptr, 0, ncclFloat32, ncclSum, nullptr, nullptr)'
expect_missing libcublasLt.so.13 cublasLt.h \
  'cublasLtMatrixTransform(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)'

# What libtorch's own libraries want of the runtime, with its version.
nm -D --defined-only "$libraries/libcudart.so.13" | awk '{ sub("@@", "@", $3); print $3 }' | sort \
  >"$folder/there"
nm -D --undefined-only "$libtorch/libc10_cuda.so" "$libtorch/libtorch_cpu.so" |
  awk '$2 ~ /@libcudart/ { print $2 }' | sort -u >"$folder/wanted"
[ "$(wc -l <"$folder/wanted")" -gt 40 ] || { echo "libc10_cuda wants no runtime?"; failed=1; }
if missing=$(comm -23 "$folder/wanted" "$folder/there") && [ -n "$missing" ]; then
  printf 'libtorch wants what is not emulated:\n%s\n' "$missing"
  failed=1
fi
exit $failed
