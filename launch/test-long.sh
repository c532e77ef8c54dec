#!/usr/bin/env bash
# What takes too long for launch/test.sh, one part after the other; all of them, or those that are
# named: launch/test-long.sh alone asan tsan fuzz slurm hosts tidy. A part that fails does not stop the others.
# Each part's seconds and end come last. tests/LONG.md keeps what came out.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

# Every source compiled by itself: one that needs an include of its neighbour does not compile.
part_alone() {
  configure cpu -B build/alone -DBITMILL_UNITY=OFF && cmake --build build/alone
}

sanitized() {
  configure "$1" && cmake --build --preset "$1" &&
    ctest --preset "$1" --no-tests=error --parallel "$(nproc)" \
      --label-exclude '^(faults|slurm|hosts|long)$'
}
part_asan() { sanitized asan; }
part_tsan() { sanitized tsan; }

part_fuzz() {
  configure fuzz && cmake --build --preset fuzz &&
    BITMILL_FUZZ_SECONDS=${BITMILL_FUZZ_SECONDS:-300} \
      ctest --preset fuzz --verbose --no-tests=error --parallel "$(nproc)"
}

part_slurm() {
  configure cpu && cmake --build --preset cpu &&
    ctest --preset cpu --no-tests=error --label-regex '^long$' --label-exclude '^hosts$'
}

# Several hosts on this machine, also with emulated GPUs.
part_hosts() {
  local preset
  for preset in cpu emulated; do
    configure $preset && cmake --build --preset $preset --target bitmill || return
  done
  ctest --test-dir build --verbose --no-tests=error --label-regex '^hosts$' &&
    ctest --test-dir build/emulated --verbose --no-tests=error --label-regex '^hosts$'
}

# The folders that see nothing or little of libtorch: its headers make a source take much longer.
part_tidy() {
  configure cpu -B build/alone -DBITMILL_UNITY=OFF &&
    run-clang-tidy -quiet -p build/alone 'src/(base|format|data|schedule|comm|checkpoint|product|infer|serve)/'
}

main() {
  cd "$root" || exit 1
  launch/setup.sh --with-slurm --with-hosts --with-clang --with-tidy --with-emulation || exit 1
  local parts=("$@") ends=() failed=0 name began end
  ((${#parts[@]})) || parts=(alone asan tsan fuzz slurm hosts tidy)
  for name in "${parts[@]}"; do
    declare -F "part_$name" >/dev/null || { say "no part '$name': alone, asan, tsan, fuzz, slurm, hosts, tidy"; exit 2; }
  done
  for name in "${parts[@]}"; do
    say "$name"
    began=$SECONDS end=passed
    "part_$name" || { end=FAILED failed=1; }
    ends+=("$(printf '%-8s %6d s  %s' "$name" $((SECONDS - began)) "$end")")
  done
  printf '%s\n' "${ends[@]}"
  return $failed
}

main "$@"
