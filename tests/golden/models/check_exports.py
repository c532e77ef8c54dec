#!/usr/bin/env python3
"""Quantizes the golden models, exports them, and holds transformers against bitmill.

    python check_exports.py [NAME ...]    needs torch, transformers, safetensors, and build/

Per NAME: the largest difference between transformers' logits of the float32 export and ours of the
packed folder, over the largest logit; and the perplexity of windows of 12 tokens, by both. Exits
with 1 when the first is above 1e-5 or the second differ by more than a millionth.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

from make_families import MODELS
from make_golden import HERE, REPOSITORY, load

PROGRAM = REPOSITORY / "build/bin/bitmill"
LOGITS = REPOSITORY / "build/bin/model_logits"
WINDOW = 12


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True,
                          text=True).stdout


def transformers_perplexity(model, windows):
    with torch.no_grad():
        logits = model(windows).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    return math.exp(losses.double().item())


def check(name, scratch):
    golden = HERE / f"{name}.golden.safetensors"
    ids = load_file(golden)["input_ids"]
    windows = ids[:len(ids) // WINDOW * WINDOW].view(-1, WINDOW)
    corpus, packed, export = scratch / f"{name}.safetensors", scratch / name, scratch / f"{name}16"
    save_file({"input_ids": windows}, corpus)
    run(PROGRAM, "quantize", "--model", HERE / name, "--output-dir", packed, "--calib", corpus,
        "--epochs", 2, "--lr-scale", 1e-2, "--lr-gain", 1e-2)
    run(PROGRAM, "export", "--model", packed, "--output-dir", export, "--dtype", "float32")
    run(LOGITS, packed, golden, scratch / "logits")
    ours = load_file(scratch / "logits")["logits"]
    model = load(export)
    with torch.no_grad():
        theirs = model(ids.long()[None]).logits[0]
    difference = ((theirs - ours).abs().max() / theirs.abs().max()).item()
    mine = json.loads(run(PROGRAM, "eval", "--model", packed, "--corpus", corpus, "--json"))
    perplexities = mine["perplexity"], transformers_perplexity(model, windows.long())
    print(f"{name:15} logits {difference:.1e}  perplexity {perplexities[0]:.6f} here, "
          f"{perplexities[1]:.6f} there")
    return difference < 1e-5 and abs(perplexities[0] / perplexities[1] - 1) < 1e-6


def main():
    with tempfile.TemporaryDirectory() as scratch:
        fine = [check(name, pathlib.Path(scratch)) for name in sys.argv[1:] or MODELS]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
