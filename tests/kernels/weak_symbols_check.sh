#!/usr/bin/env bash
# No function of the CPU kernels is shared between their sources: each is compiled with flags of its
# own, and the linker would keep only one of its copies (kernels/cpu/README.md).
#
#   weak_symbols_check.sh NM ARCHIVE
set -euo pipefail
symbols=$("$1" -C "$2")
grep -q "avx512vnni_kernel\|plain_kernel" <<<"$symbols" ||
  { echo "$2 has no kernels" >&2; exit 1; }
if grep " W " <<<"$symbols" >&2; then
  echo "$2: these functions are compiled several times, and one copy would serve all" >&2
  exit 1
fi
