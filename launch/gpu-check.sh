#!/usr/bin/env bash
# Builds bitmill on a machine with a GPU and checks there what CI can only emulate: conformance
# first, then the tests labelled `gpu`, then benchmarks. A short table comes last.
#
#   launch/gpu-check.sh --collect DIR     on Debian 12, beforehand: the packages to take along
#   launch/gpu-check.sh [--packages DIR]  on the machine with the GPU
#   launch/gpu-check.sh --rehearse        the same without a GPU: everything is built, what needs
#                                         a GPU is skipped and says so
#
# The machine needs nvcc 13, CMake, ninja, g++, a python3 with PyTorch 2.11 for CUDA 13, and NCCL.
# It needs no network: Open MPI, GoogleTest and small libraries are taken from the .deb files in DIR
# (by default gpu-packages beside this tree's folder `launch`), which are unpacked under build/ and
# change nothing else. Everything together takes at most 8 minutes (BITMILL_GPU_CHECK_S: seconds);
# what does not fit any more is a line of the table. Exit status 0: nothing failed or was left out.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

readonly limit=${BITMILL_GPU_CHECK_S:-480}
readonly build=$root/build/cuda unpacked=$root/build/gpu-packages
packages=$root/gpu-packages
rehearsal=no

# What the build includes and what its programs load, beyond what the machine has.
readonly needed=(
  nlohmann-json3-dev libfmt-dev libfmt9 libboost1.74-dev libboost-dev
  libboost-program-options1.74-dev libboost-program-options1.74.0 libboost-program-options-dev
  libxxhash-dev libxxhash0 libpcre2-dev libpcre2-8-0 libpcre2-posix3 libpcre2-16-0 libpcre2-32-0
  libutf8proc-dev libutf8proc2 libsentencepiece-dev libsentencepiece0 libprotobuf-lite32
  libgtest-dev libgmock-dev googletest
  openmpi-bin openmpi-common libopenmpi-dev libopenmpi3 libpmix2 libhwloc15 libevent-core-2.1-7
  libevent-pthreads-2.1-7 libmunge2 libucx0 libfabric1 libpsm-infinipath1 libpsm2-2 libibverbs1
  librdmacm1 libnl-3-200 libnl-route-3-200 libxnvctrl0 ocl-icd-libopencl1 zlib1g-dev)

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
  timeout "$most" "$@" 2>&1 | tee "$log" || status=$?
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
  [ -d "$packages" ] || die "no folder $packages; make it on Debian 12 with launch/gpu-check.sh --collect DIR"
  local package
  rm -rf "$unpacked"
  mkdir -p "$unpacked"
  for package in "$packages"/*.deb; do dpkg-deb -x "$package" "$unpacked"; done
  local lib=$unpacked/usr/lib/x86_64-linux-gnu
  # The alternatives system would have made these two links.
  ln -sfn openmpi/include "$lib/openmpi/mpi-include"
  export PATH=$unpacked/usr/bin:$PATH
  export OPAL_PREFIX=$unpacked/usr OPAL_LIBDIR=$lib OMPI_ALLOW_RUN_AS_ROOT=1
  export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export LD_LIBRARY_PATH=$lib:$lib/openmpi/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
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

configure_here() {
  local more=() lib=$unpacked/usr/lib/x86_64-linux-gnu
  if [ -d "$unpacked" ] && [ -n "${OPAL_PREFIX:-}" ]; then
    more=("-DMPI_CXX_COMPILER=$unpacked/usr/bin/mpicxx.openmpi" "-DMPIEXEC_EXECUTABLE=$unpacked/usr/bin/mpirun.openmpi"
      "-DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu" "-DCMAKE_BUILD_RPATH=$lib;$lib/openmpi/lib")
  fi
  cmake --preset cuda "-DLIBTORCH_ROOT=$(torch_folder)" "${more[@]}"
}

build_all() { cmake --build "$build" --target bitmill conformance test_gpu bench_kernels; }

gpu_tests() {
  ctest --test-dir "$build" --label-regex gpu --no-tests=error --output-on-failure
}

main() {
  while [ $# -gt 0 ]; do
    case $1 in
      --collect)
        collect "${2:?--collect needs a folder}"
        return
        ;;
      --packages) packages=$(realpath "${2:?--packages needs a folder}") && shift ;;
      --rehearse) rehearsal=yes ;;
      *) die "unknown option $1 (there are --collect, --packages and --rehearse)" ;;
    esac
    shift
  done
  cd "$root"
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
