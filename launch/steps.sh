# Sourced by the scripts beside it: where the tree is, how steps report, and how to configure.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Another clone of the same sources finds the same objects in ccache.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=true

say() { printf '[%s %4ds] %s\n' "$(basename "$0" .sh)" "$SECONDS" "$*" >&2; }

# step NAME COMMAND...: announces, runs and times it; `spent` collects a line for each.
spent=()
step() {
  local name=$1 began=$SECONDS
  shift
  say "$name: $*"
  "$@"
  spent+=("$(printf '%-24s %5d s' "$name" $((SECONDS - began)))")
}

# configure PRESET [OPTION...]: against the libtorch that set-up left, even where an older one is
# remembered, and `cuda` with set-up's nvcc where the PATH has none. Options go to cmake.
configure() {
  local libtorch nvcc more=()
  libtorch=$("$root/launch/setup.sh" --print-libtorch)
  if [ "$1" = cuda ]; then
    nvcc=$("$root/launch/setup.sh" --print-nvcc)
    if [ -z "$nvcc" ]; then
      say "no nvcc of CUDA 13: launch/setup.sh --with-cuda fetches it"
      return 1
    fi
    if [ "$nvcc" != "$(command -v nvcc)" ]; then more=("-DCMAKE_CUDA_COMPILER=$nvcc"); fi
  fi
  cmake --preset "$1" "-DLIBTORCH_ROOT=$libtorch" "${more[@]}" "${@:2}"
}
