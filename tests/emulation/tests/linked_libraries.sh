#!/bin/bash
# An emulated program loads the stand-ins, libtorch's own libc10_cuda, and nothing else of CUDA's.
#
#   linked_libraries.sh LIBRARIES PROGRAM...
set -euo pipefail

readonly libraries=$1
shift
failed=0

complain() {
  echo "$*"
  failed=1
}

for program in "$@"; do
  loaded=$(ldd "$program")
  while read -r name _ path _; do
    case $name in
      libcudart.so* | libcublasLt.so* | libnccl.so*)
        [ "$(realpath "$path")" = "$(realpath "$libraries")/$name" ] ||
          complain "$program loads $path, and not the stand-in"
        ;;
      libtorch.so | libtorch_cuda* | libcublas.so* | libcudnn* | libcuda.so*)
        complain "$program loads $name"
        ;;
    esac
  done <<<"$loaded"
  grep -q 'libcudart.so.13 =>' <<<"$loaded" || complain "$program loads no runtime"
done
grep -q 'libc10_cuda.so =>' <<<"$(ldd "$1")" || complain "$1 does not load libtorch's libc10_cuda"
exit $failed
