#!/usr/bin/env bash
# Quantizes the bundled 2-million-parameter model on two ranks, and shows what that cost in
# perplexity and won in bytes. Safe to run again: a finished result is verified, not made anew.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

readonly model=tests/data/books-2M texts=tests/data/books results=build/quickstart
readonly packed=$results/books-2M-packed
readonly bitmill=build/bin/bitmill

build() {
  configure cpu
  cmake --build --preset cpu --target bitmill
}

quantize() {
  launch/bitmill-mpirun -n 2 $bitmill quantize --model $model --output-dir $packed \
    --calib $texts/calib.txt --recipe parallel --samples 64 --seq-len 256
}

# evaluate FOLDER RESULT
evaluate() {
  $bitmill eval --model "$1" --corpus $texts/eval.txt --seq-len 256 --max-windows 128 --json >"$2"
}

inspect() {
  $bitmill inspect $packed --json >$results/inspect.json
}

# value FILE KEY
value() {
  /usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$@"
}

print_table() {
  local before after
  before=$(value $results/original.json perplexity)
  after=$(value $results/packed.json perplexity)
  echo
  printf '%-18s %14s %14s\n' "" original packed
  printf '%-18s %14.2f %14.2f\n' perplexity "$before" "$after"
  printf '%-18s %14.2f %14.2f\n' "bits per weight" 16 "$(value $results/inspect.json bits_per_weight)"
  printf '%-18s %14d %14d\n' "bytes" "$(stat -c %s $model/model.safetensors)" \
    "$(value $results/inspect.json file_bytes)"
  printf '\n%s\n' "time spent:" "${spent[@]}"
}

main() {
  cd "$root"
  step "set-up" launch/setup.sh
  step "build" build
  mkdir -p $results
  if [ -e $packed ]; then say "$packed is there: bitmill verifies it"; fi
  step "quantize" quantize
  step "eval, original" evaluate $model $results/original.json
  step "eval, packed" evaluate $packed $results/packed.json
  step "inspect" inspect
  print_table
  printf '\nNext, a model of yours (a Hugging Face folder) and any text:\n  %s\n' \
    "launch/bitmill-mpirun -n 2 $bitmill quantize --model DIR --output-dir DIR-packed --calib TEXT --recipe parallel"
}

main "$@"
