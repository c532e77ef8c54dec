#!/usr/bin/env bash
# Builds bitmill on a machine with a GPU and checks there what CI can only emulate: conformance
# first, then the tests labelled `gpu`, then benchmarks. A short table comes last.
#
#   launch/gpu-check.sh --collect          on Debian 12, beforehand: the packages to take along
#   launch/gpu-check.sh                    on the machine with the GPU
#   launch/gpu-check.sh --rehearse         the same without a GPU: everything is built, what needs
#                                          a GPU is skipped and says so
#   ... --packages DIR                     another folder for the packages than build/gpu-debs
#
# The machine needs nvcc 13, CMake, ninja, g++, a python3 with PyTorch 2.11 for CUDA 13, and NCCL.
# It needs no network: Open MPI, GoogleTest and small libraries are taken from the .deb files, which
# are unpacked under build/ and change nothing else. Everything together takes at most 8 minutes
# (BITMILL_GPU_CHECK_S: seconds); what does not fit any more is a line of the table. Exit status 0:
# nothing failed or was left out.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

readonly limit=${BITMILL_GPU_CHECK_S:-480}
readonly build=$root/build/gpu-check unpacked=$root/build/gpu-packages
packages=$root/build/gpu-debs
rehearsal=no

# What the build includes and what its programs load, beyond what the machine has.
readonly needed=(
  nlohmann-json3-dev libfmt-dev libfmt9 libboost1.74-dev libboost-dev
  libboost-program-options1.74-dev libboost-program-options1.74.0 libboost-program-options-dev
  libxxhash-dev libxxhash0 libpcre2-dev libpcre2-8-0 libpcre2-posix3 libpcre2-16-0 libpcre2-32-0
  libutf8proc-dev libutf8proc2 libsentencepiece-dev libsentencepiece0 libprotobuf-lite32
  libgtest-dev libgmock-dev googletest
  pkgconf pkgconf-bin libpkgconf3
  openmpi-bin openmpi-common libopenmpi-dev libopenmpi3 libpmix2 libhwloc15 libevent-core-2.1-7
  libevent-pthreads-2.1-7 libmunge2 libucx0 libfabric1 libpsm-infinipath1 libpsm2-2 libibverbs1
  librdmacm1 libnl-3-200 libnl-route-3-200 libudev1 libnuma1 libuuid1 zlib1g)

# Steps are functions, and a time limit is of a process.
export root build unpacked
rows=()
bad=0
row() { rows+=("$(printf '%-34s %-9s %5d s  %s' "$1" "$2" "$3" "$4")"); }
left() { echo $((limit - SECONDS)); }

die() {
  printf 'launch/gpu-check.sh: %s\n' "$*" >&2
  exit 2
}

collect() {
  mkdir -p "$1"
  (cd "$1" && apt-get download -q "${needed[@]}") || die "apt-get could not download all packages"
  say "$(find "$1" -name '*.deb' | wc -l) packages, $(du -sh "$1" | cut -f1), in $1"
}

# timed NAME SECONDS COMMAND...: within SECONDS and the time that is left. The last line that the
# command prints is its line in the table.
timed() {
  local name=$1 most=$2 began=$SECONDS log status=0
  shift 2
  if [ "$(left)" -lt "$most" ]; then most=$(left); fi
  log=$build/gpu-check-${name//[^a-z0-9]/-}.log
  mkdir -p "$build"
  if [ "$most" -lt 5 ]; then
    row "$name" "left out" 0 "no time left of $limit s"
    bad=1
    return 1
  fi
  say "$name (at most $most s): $*"
  timeout "$most" bash -euo pipefail -c '"$@"' _ "$@" 2>&1 | tee "$log" || status=$?
  case $status in
    0) row "$name" ok $((SECONDS - began)) "$(tail -n 1 "$log")" ;;
    124) row "$name" "too slow" $((SECONDS - began)) "ended after $most s; $log" ;;
    *) row "$name" FAILED $((SECONDS - began)) "status $status; $log" ;;
  esac
  [ "$status" -eq 0 ] || bad=1
  return "$status"
}

check_machine() {
  local tool version
  for tool in nvcc cmake ninja g++ python3; do
    command -v "$tool" >/dev/null || die "no $tool here"
  done
  nvcc --version | grep -q 'release 13\.' || die "nvcc here is not of CUDA 13: $(nvcc --version | tail -n 2 | head -n 1)"
  if [ "$rehearsal" = yes ]; then return; fi
  nvidia-smi -L >&2 || die "nvidia-smi finds no GPU here (--rehearse does without)"
  version=$(python3 -c 'import torch; print(torch.__version__)') || die "python3 has no PyTorch"
  [[ $version == 2.11.* ]] || die "PyTorch here is $version; bitmill is built against 2.11"
}

# The system's own where this is Debian with the packages installed; else those of the .deb files.
unpack_packages() {
  if [ "$rehearsal" = yes ] && [ ! -d "$packages" ]; then
    say "rehearsal: the system's own libraries are used"
    return
  fi
  [ -d "$packages" ] || die "no folder $packages; make it on Debian 12 with launch/gpu-check.sh --collect"
  local package
  rm -rf "$unpacked"
  mkdir -p "$unpacked"
  for package in "$packages"/*.deb; do dpkg-deb -x "$package" "$unpacked"; done
  local lib=$unpacked/usr/lib/x86_64-linux-gnu
  export PATH=$unpacked/usr/bin:$PATH
  export OPAL_PREFIX=$unpacked/usr OMPI_ALLOW_RUN_AS_ROOT=1
  export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  local libraries=$lib:$lib/openmpi/lib:$lib/pmix2/lib:$unpacked/lib/x86_64-linux-gnu
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LIBRARY_PATH=$lib:$lib/openmpi/lib${LIBRARY_PATH:+:$LIBRARY_PATH}
  export CPATH=$unpacked/usr/include:$unpacked/usr/include/x86_64-linux-gnu${CPATH:+:$CPATH}
  export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$unpacked
  export CMAKE_PREFIX_PATH=$unpacked/usr
}

torch_folder() {
  if [ "$rehearsal" = yes ]; then
    "$root/launch/setup.sh" --print-libtorch
  else
    python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))'
  fi
}

# Prints the folder whose include and lib have NCCL: the toolkit's, the system's, or PyTorch's own.
nccl_folder() {
  local folder
  for folder in /usr/local/cuda /usr "$1/../nvidia/nccl"; do
    if [ -e "$folder/include/nccl.h" ]; then
      echo "$folder"
      return
    fi
  done
  echo "no nccl.h in /usr/local/cuda, /usr or PyTorch's nvidia/nccl" >&2
  return 1
}

configure_here() {
  local more=() torch nccl library
  torch=$(torch_folder)
  nccl=$(nccl_folder "$torch")
  library=$(find "$nccl"/lib64/ "$nccl"/lib/ -maxdepth 2 -name 'libnccl.so*' 2>/dev/null | sort | head -n 1)
  [ -n "$library" ] || { echo "$nccl has nccl.h but no libnccl.so" >&2 && return 1; }
  if [ -n "${OPAL_PREFIX:-}" ]; then
    more=("-DMPI_CXX_COMPILER=$unpacked/usr/bin/mpicxx.openmpi"
      "-DMPIEXEC_EXECUTABLE=$unpacked/usr/bin/mpirun.openmpi")
  fi
  CPATH=${CPATH:+$CPATH:}$nccl/include cmake --preset cuda -B "$build" \
    -DBITMILL_WERROR=OFF "-DLIBTORCH_ROOT=$torch" "-DNCCL_LIBRARY=$library" "${more[@]}"
}

# CPATH: NCCL's headers where only PyTorch has them.
build_all() {
  CPATH=${CPATH:+$CPATH:}$(nccl_folder "$(torch_folder)")/include cmake --build "$build" --target bitmill conformance test_gpu test_device bench_kernels
}

gpu_tests() {
  ctest --test-dir "$build" --label-regex gpu --no-tests=error --output-on-failure
}

export -f torch_folder nccl_folder configure_here build_all gpu_tests

main() {
  local action=check
  while [ $# -gt 0 ]; do
    case $1 in
      --collect) action=collect ;;
      --packages) packages=$(realpath -m "${2:?--packages needs a folder}") && shift ;;
      --rehearse) rehearsal=yes ;;
      *) die "unknown option $1 (there are --collect, --packages and --rehearse)" ;;
    esac
    shift
  done
  if [ $action = collect ]; then
    collect "$packages"
    return
  fi
  cd "$root"
  export rehearsal
  check_machine
  unpack_packages
  if timed configure 60 configure_here && timed build 300 build_all; then
    if [ "$rehearsal" = no ]; then timed conformance 90 "$build/bin/conformance" || true; fi
    timed "gpu tests" 120 gpu_tests || true
    if [ "$rehearsal" = no ]; then timed "kernel speed" 60 "$build/bin/bench_kernels" || true; fi
  fi
  printf '\n%s\n' "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo 'no GPU')"
  printf '%s\n' "${rows[@]}" "$(printf '%-34s %-9s %5d s' "all" "$([ $bad -eq 0 ] && echo ok || echo 'NOT OK')" $SECONDS)"
  return "$bad"
}

main "$@"
