#!/bin/bash
# Shows that a corpus takes no more memory when it is a hundred times as long.
#
#   tests/data/corpus_memory.sh PROGRAM [SMALL LARGE]
#
# PROGRAM: build/bin/corpus_memory. SMALL and LARGE: bytes; 2 MB and 200 MB where nothing is said.
# By hand, 10 GB against 10 MB:
#
#   tests/data/corpus_memory.sh build/bin/corpus_memory 10000000 10000000000
#
# Texts are made in a new folder of $TMPDIR, which has to have room for them and their index.
# Exits with 77 where it has not.
set -euo pipefail

readonly program=$1 small=${2:-2000000} large=${3:-200000000}
# KiB that may come on top: what the allocator happens to keep of a few documents.
readonly slack=4096
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

free=$(df --output=avail -B1 "$folder" | tail -1)
if [ "$free" -lt $((large * 5 / 4 + 1000000000)) ]; then
  echo "skipped: $folder has $free bytes free, too few for a corpus of $large"
  exit 77
fi

# peak BYTES: prints what the program says, and leaves the peak in $peak.
peak() {
  local line
  mkdir "$folder/$1"
  line=$("$program" "$1" "$folder/$1" "$root/tests/data/books-2M")
  rm -rf "${folder:?}/$1"
  echo "$line"
  peak=${line##*peak_kib }
}

peak "$small"
readonly small_peak=$peak
peak "$large"
if [ "$peak" -gt $((small_peak + slack)) ]; then
  echo "failed: $large bytes took $peak KiB, and $small bytes took $small_peak KiB"
  exit 1
fi
echo "passed: $peak KiB for $large bytes, $small_peak KiB for $small bytes"
