#!/usr/bin/env bash
# Builds bitmill on a machine with a GPU and checks there what CI can only emulate: conformance, the
# tests labelled `gpu`, a block step beside plain PyTorch, whole jobs on one and two ranks, and the
# kernels' share of the memory's speed. A short table comes last; the same with all figures goes to a
# file.
#
#   launch/gpu-check.sh --pack FILE        on Debian 12, beforehand: one bundle of sources and packages
#                                          (at most 60 MB), a .tar.gz; on the machine with the GPU:
#                                          tar -xzf FILE && bitmill/launch/gpu-check.sh
#   launch/gpu-check.sh --collect          beforehand, for a checkout that travels by itself: the
#                                          packages alone
#   launch/gpu-check.sh                    on the machine with the GPU
#   launch/gpu-check.sh --rehearse         the same under the emulation, without a GPU, on small shapes:
#                                          a few of the tests, and not the kernels' speed; its times
#                                          say nothing
#   ... --model DIR                        quantize this model; without it, one of SmolLM2-135M's
#                                          shape with random weights, made there
#   ... --packages DIR                     another folder for the packages than build/gpu-debs
#   ... --results FILE                     default: gpu-check-results.md in the build folder
#
# The machine needs an x86-64 processor, glibc 2.36 (Debian 12, for which the packages were made) or a
# newer one, nvcc 13, CMake, ninja, g++, dpkg-deb, a python3 with PyTorch 2.11 for CUDA 13, and NCCL. It
# needs no network: Open MPI, GoogleTest and small libraries are taken from the .deb files, which are
# unpacked under build/ and change nothing else. Everything together takes at most 8 minutes
# (BITMILL_GPU_CHECK_S: seconds); what does not fit any more is a line of the table. Exit status 0:
# nothing failed or was left out. "below": it works, slower than the goal.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

die() {
  printf 'launch/gpu-check.sh: %s\n' "$*" >&2
  exit 2
}

source "$root/launch/gpu-packages.sh"

readonly limit=${BITMILL_GPU_CHECK_S:-480}
build=$root/build/gpu-check
packages=$root/build/gpu-debs
packages_named=no
rehearsal=no
model=
results=

# Steps are functions, and a time limit is of a process.
export root unpacked
rows=()
bad=0
row() { rows+=("$(printf '%-34s %-9s %5d s  %s' "$1" "$2" "$3" "$4")"); }
left() { echo $((limit - SECONDS)); }

# timed NAME SECONDS COMMAND...: within SECONDS and the time that is left. The last line that the
# command prints is its line in the table.
timed() {
  local name=$1 most=$2 began=$SECONDS log last status=0
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
  timeout -k 10 "$most" bash -euo pipefail -c '"$@"' _ "$@" 2>&1 | tee "$log" || status=$?
  last=$(grep -v "^$" "$log" | tail -n 1) || true
  case $status in
    0) row "$name" "$([[ $last == *'below the goal'* ]] && echo 'below' || echo ok)" $((SECONDS - began)) "$last" ;;
    124 | 137) row "$name" "too slow" $((SECONDS - began)) "ended after $most s; $log" ;;
    *) row "$name" FAILED $((SECONDS - began)) "status $status; $log" ;;
  esac
  [ "$status" -eq 0 ] || bad=1
  return "$status"
}

check_machine() {
  local tool version
  for tool in cmake ninja g++ dpkg-deb; do command -v "$tool" >/dev/null || die "no $tool here"; done
  if [ "$rehearsal" = yes ]; then return; fi
  command -v nvcc >/dev/null || die "no nvcc here"
  nvcc --version | grep -q 'release 13\.' || die "nvcc here is not of CUDA 13: $(nvcc --version | tail -n 2 | head -n 1)"
  nvidia-smi -L >&2 || die "nvidia-smi finds no GPU here (--rehearse does without)"
  command -v python3 >/dev/null || die "no python3 here"
  version=$(python3 -c 'import torch; print(torch.__version__)') || die "python3 has no PyTorch"
  [[ $version == 2.11.* ]] || die "PyTorch here is $version; bitmill is built against 2.11"
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

# Prints the libnccl.so of a folder that nccl_folder() found.
nccl_library() {
  local folder folders=() library
  for folder in "$1"/lib64 "$1"/lib; do if [ -d "$folder" ]; then folders+=("$folder"); fi; done
  library=$(find -L "${folders[@]}" -maxdepth 2 -name 'libnccl.so*' 2>/dev/null | sort | head -n 1) || true
  if [ -z "$library" ]; then
    echo "$1 has nccl.h but no libnccl.so" >&2
    return 1
  fi
  echo "$library"
}

# Of the GPU here, as CMake writes it: 90.
architecture() { nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .; }

configure_here() {
  local more=() torch nccl library
  torch=$(torch_folder)
  if [ -n "${OPAL_PREFIX:-}" ]; then
    more=("-DMPI_CXX_COMPILER=$unpacked/usr/bin/mpicxx.openmpi"
      "-DMPIEXEC_EXECUTABLE=$unpacked/usr/bin/mpirun.openmpi")
  fi
  if [ "$rehearsal" = yes ]; then
    cmake --preset emulated -B "$build" "-DLIBTORCH_ROOT=$torch" "${more[@]}"
    return
  fi
  nccl=$(nccl_folder "$torch")
  library=$(nccl_library "$nccl")
  CPATH=${CPATH:+$CPATH:}$nccl/include cmake --preset cuda -B "$build" -DBITMILL_WERROR=OFF \
    "-DCMAKE_CUDA_ARCHITECTURES=$(architecture)" "-DLIBTORCH_ROOT=$torch" \
    "-DNCCL_LIBRARY=$library" "${more[@]}"
}

# CPATH: NCCL's headers where only PyTorch has them.
build_all() {
  local targets=(bitmill conformance test_device bench_gpu_block)
  if [ "$rehearsal" = no ]; then
    targets+=(test_gpu bench_kernels)
    local nccl
    nccl=$(nccl_folder "$(torch_folder)")
    export CPATH=${CPATH:+$CPATH:}$nccl/include
  fi
  cmake --build "$build" --target "${targets[@]}"
}

# A rehearsal runs a few. By ctest are only those that are no program of tests; a rehearsal may itself
# be a test of ctest in this build folder.
gpu_tests() {
  if [ "$rehearsal" = yes ]; then
    "$python" "$root/tests/gpu/run_tests.py" --filter 'DeviceProduct*:CudaDeviceTest*' "$build/bin/test_device"
    return
  fi
  ctest --test-dir "$build" --tests-regex '^kernel_resources' --no-tests=error --output-on-failure
  "$python" "$root/tests/gpu/run_tests.py" "$build/bin/test_gpu" "$build/bin/test_device"
}

block_steps() {
  local words=(--shapes '7B,70B')
  if [ "$rehearsal" = yes ]; then words=(--shapes small --on cpu --steps 2 --rounds 1); fi
  "$python" "$root/tests/bench/gpu_step.py" --program "$build/bin/bench_gpu_block" "${words[@]}"
}

# The job of one rank and of two has these words; `job` is a folder for it.
quantize_words() {
  local epochs=4
  if [ "$rehearsal" = yes ]; then epochs=2; fi
  # One stage, and two samples a step: two ranks are two replicas, which compute side by side.
  words=(quantize --model "$model" --calib "$job/windows.safetensors" --backend cuda
    --epochs "$epochs" --batch 2 --stages 1)
}

one_rank() {
  local words kind=smollm2 tokens=512 windows=16 began
  rm -rf "$job"
  if [ "$rehearsal" = yes ]; then kind=small tokens=16 windows=8; fi
  if [ "$model" != "$job/model" ]; then
    "$python" "$root/tests/bench/random_model.py" "$job" --windows-for "$model" --windows $windows --tokens $tokens
  else
    "$python" "$root/tests/bench/random_model.py" "$job" --shape $kind --windows $windows --tokens $tokens
  fi
  quantize_words
  began=$(date +%s.%N)
  "$build/bin/bitmill" "${words[@]}" --output-dir "$job/one"
  local ended
  ended=$(date +%s.%N)
  "$build/bin/bitmill" eval --model "$job/one" --reference "$model" --backend cuda \
    --corpus "$job/windows.safetensors" --max-windows 4
  awk -v a="$began" -v b="$ended" -v w=$windows -v t=$tokens \
    'BEGIN { printf "quantized with %d windows of %d tokens in %.1f s, evaluated on four\n", w, t, b - a }'
}

# Through the host: NCCL refuses two ranks on one GPU.
two_ranks() {
  local words
  quantize_words
  "$mpirun" -np 2 --bind-to none "$build/bin/bitmill" "${words[@]}" --output-dir "$job/two" 2>&1 |
    tee "$job/two.log"
  grep -q 'mesh: 1 stage of 2 replicas' "$job/two.log"
  cmp "$job/one/model.safetensors" "$job/two/model.safetensors"
  echo "two ranks on one GPU wrote the bytes of one"
}

export -f torch_folder nccl_folder nccl_library architecture configure_here build_all gpu_tests block_steps quantize_words one_rank two_ranks

all_steps() {
  local build_most=300
  if [ "$rehearsal" = yes ]; then build_most=$limit; fi  # on a machine of any size
  rm -f "$build"/gpu-check-*.log
  if ! timed configure 60 configure_here || ! timed build "$build_most" build_all; then return 0; fi
  timed conformance 60 "$build/bin/conformance" || true
  timed "gpu tests" 120 gpu_tests || true
  timed "block step" 120 block_steps || true
  if timed "one rank" 90 one_rank; then timed "two ranks" 90 two_ranks || true; fi
  if [ "$rehearsal" = no ]; then timed "kernel speed" 60 "$build/bin/bench_kernels" || true; fi
}

device_words() {
  if [ "$rehearsal" = yes ]; then
    echo "a rehearsal under the emulation: times and rates say nothing"
  else
    nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
  fi
}

# The table, and under it what the benchmarks printed.
write_results() {
  local log
  {
    printf '# gpu-check, %s, %s\n\nCommit %s.\n\n```\n' "$(date -I)" "$(device_words | head -n 1)" "$(commit_here)"
    table
    printf '```\n'
    for log in block-step one-rank kernel-speed; do
      [ -e "$build/gpu-check-$log.log" ] || continue
      printf '\n## %s\n\n```\n' "$log"
      grep -v '^\[' "$build/gpu-check-$log.log" || true
      printf '```\n'
    done
  } >"$results"
}

commit_here() { cat "$root/build/commit" 2>/dev/null || git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown; }

table() {
  printf '%s\n' "${rows[@]}" "$(printf '%-34s %-9s %5d s' "all" "$([ $bad -eq 0 ] && echo ok || echo 'NOT OK')" $SECONDS)"
}

main() {
  local action=check bundle=
  while [ $# -gt 0 ]; do
    case $1 in
      --collect) action=collect ;;
      --pack) action=pack && bundle=$(realpath -m "${2:?--pack needs a file}") && shift ;;
      --packages) packages=$(realpath -m "${2:?--packages needs a folder}") && packages_named=yes && shift ;;
      --model) model=$(realpath -e "${2:?--model needs a folder}") && shift ;;
      --results) results=$(realpath -m "${2:?--results needs a file}") && shift ;;
      --rehearse) rehearsal=yes ;;
      *) die "unknown option $1 (there are --pack, --collect, --rehearse, --model, --packages and --results)" ;;
    esac
    shift
  done
  case $action in
    collect) collect "$packages"; return ;;
    pack) pack "$bundle" "$packages" "$model"; return ;;
  esac
  cd "$root"
  python=python3
  if [ "$rehearsal" = yes ]; then
    build=$root/build/emulated
    if [ "$packages_named" = yes ]; then build=$root/build/gpu-rehearsal; fi
    if ! python=$(launch/setup.sh --print-python); then
      say "no PyTorch for the rehearsal"
      return 77  # of a test that is skipped
    fi
  fi
  job=$build/gpu-check-job
  if [ -z "$model" ] && [ -d "$root/build/check-model" ]; then model=$root/build/check-model; fi
  model=${model:-$job/model}
  results=${results:-$build/gpu-check-results.md}
  check_machine
  # In a rehearsal without --packages the system's own libraries are used.
  if [ "$rehearsal" = no ] || [ "$packages_named" = yes ]; then use_packages "$packages"; fi
  mpirun=${OPAL_PREFIX:+$unpacked/usr/bin/mpirun.openmpi}
  mpirun=${mpirun:-mpirun}
  export rehearsal build python job model mpirun OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  all_steps
  printf '\n%s\n' "$(device_words)"
  table
  write_results
  say "the same and all figures: $results"
  return "$bad"
}

main "$@"
