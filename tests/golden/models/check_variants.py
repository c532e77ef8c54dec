#!/usr/bin/env python3
"""Holds transformers against variants.json: each variant has the logits of the model it is made of.

    python check_variants.py          needs torch, transformers, safetensors

A variant is a golden model with keys of config.json set and tensors renamed. The same file is a
test of bitmill (tests/model/variants_test.cpp). Exits with 1 when a logit differs by more than 1e-6
of the largest.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

from make_golden import HERE, load


def make_variant(variant, folder):
    shutil.copytree(HERE / variant["base"], folder)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | variant.get("set", {})
    path.write_text(json.dumps(config))
    renames = variant.get("rename", {})
    if renames:
        path = folder / "model.safetensors"
        tensors = {renames.get(name, name): t for name, t in load_file(path).items()}
        save_file(tensors, path, {"format": "pt"})


def difference(variant, folder):
    make_variant(variant, folder)
    golden = load_file(HERE / f"{variant['base']}.golden.safetensors")
    with torch.no_grad():
        logits = load(folder)(golden["input_ids"].long()[None]).logits[0, golden["rows"].long()]
    return ((logits - golden["logits"]).abs().max() / golden["logits"].abs().max()).item()


def main():
    fine = True
    with tempfile.TemporaryDirectory() as scratch:
        for variant in json.loads((HERE / "variants.json").read_text()):
            found = difference(variant, pathlib.Path(scratch) / variant["name"])
            fine = fine and found < 1e-6
            print(f"{variant['name']:40} {found:.1e}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
