#!/usr/bin/env bash
# Every header of src and kernels compiles by itself. A header that has a .cpp of its name is the
# first include of that .cpp (layering_test.cpp), so every build checks it. This script checks the
# other headers.
#
#   headers_check.sh COMPILER FLAG...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

check() {
  printf '#include "%s"\n' "${1#src/}" | "${@:2}" -x c++ -fsyntax-only - ||
    { echo "$1 does not compile by itself" >&2; return 1; }
}
export -f check

alone() {
  local header
  find src kernels -name '*.hpp' | sort | while read -r header; do
    [ -e "${header%.hpp}.cpp" ] || [ -e "${header%.hpp}.cu" ] || echo "$header"
  done
}

mapfile -t headers < <(alone)
[ ${#headers[@]} -gt 10 ] || { echo "only ${#headers[@]} headers found" >&2; exit 1; }
printf '%s\n' "${headers[@]}" | xargs -P "$(nproc)" -I{} bash -c 'check "$@"' _ {} "$@"
echo "${#headers[@]} headers compile by themselves"
