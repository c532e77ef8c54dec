#!/usr/bin/env bash
# Submits two jobs: one that quantizes, one that evaluates its result once it ended well. However
# often the first is requeued on its way, the second waits; should the first fail, it never runs.
#
#   ./quantize-then-evaluate.sh [TEMPLATE [OPTIONS OF SBATCH...]]    default: one-node.sbatch
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

template=${1-one-node.sbatch}
quantize=$(sbatch --parsable "${@:2}" "$template")
evaluate=$(sbatch --parsable --dependency="afterok:${quantize%%;*}" --kill-on-invalid-dep=yes \
  evaluate.sbatch)
echo "quantize: job ${quantize%%;*}; evaluate: job ${evaluate%%;*}"
