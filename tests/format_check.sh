#!/usr/bin/env bash
# Fails on sources that clang-format would change. Releases of clang-format disagree with each other:
# Debian 12's decides, and with another one this check is skipped (77, ctest's SKIP_RETURN_CODE).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
  echo "skipped: no clang-format 14 here (apt-get install clang-format)"
  exit 77
fi
find src kernels tests \( -name '*.hpp' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
