#!/usr/bin/env bash
# From a bare Debian 12 to a tested build: set-up, build, every test. ctest's summary comes last.
# Where nvcc is found, the CUDA kernels are compiled and linked too; their tests need a GPU to run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

# The program itself too: its link against CUDA's libraries is part of what is proven here.
build_kernels() {
  configure cuda
  cmake --build --preset cuda --target bitmill test_gpu test_device conformance \
    bench_kernels bench_gpu_block
  build/cuda/bin/bitmill --version
}

# The table of registers and shared memory is to be seen; the other tests mostly need a GPU.
kernel_tests() {
  ctest --preset cuda --tests-regex '^kernel_resources$' --no-tests=error --verbose
  ctest --preset cuda --label-regex gpu --exclude-regex '^kernel_resources$' --no-tests=error \
    --parallel "$(nproc)"
}

# The same host code and the same kernels, against stand-ins that need no GPU (tests/emulation).
build_emulated() {
  configure emulated
  cmake --build --preset emulated
  build/emulated/bin/bitmill --version
}

# Needs a compiler and GoogleTest, and no GPU.
race_tests() {
  cmake --preset emulated-tsan
  cmake --build --preset emulated-tsan
  ctest --preset emulated-tsan --no-tests=error --parallel "$(nproc)"
}

# Twenty seconds each (launch/test-long.sh gives them more); -V: the line in which each says how many
# inputs it tried.
fuzz() {
  configure fuzz
  cmake --build --preset fuzz
  BITMILL_FUZZ_SECONDS=${BITMILL_FUZZ_SECONDS:-20} \
    ctest --preset fuzz --verbose --no-tests=error --parallel "$(nproc)"
}

main() {
  cd "$root"
  step "set-up" launch/setup.sh --with-slurm --with-hosts --with-clang --with-emulation \
    --with-transformers
  step "configure" configure cpu
  step "build" cmake --build --preset cpu
  step "races in kernels" race_tests
  if command -v nvcc >/dev/null; then
    step "CUDA build" build_kernels
    step "kernel tests" kernel_tests
  else
    say "no nvcc here: the CUDA kernels were not built"
  fi
  step "emulated build" build_emulated
  step "emulated tests" ctest --preset emulated --no-tests=error --parallel "$(nproc)"
  if command -v clang++-16 >/dev/null; then
    step "fuzzers" fuzz
  else
    say "no clang++-16 here: the fuzzers were neither built nor run"
  fi
  printf '%s\n' "time spent before the tests:" "${spent[@]}"
  ctest --preset cpu --output-on-failure --no-tests=error --parallel "$(nproc)" \
    --label-exclude '^long$'
}

main "$@"
