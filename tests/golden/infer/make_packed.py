#!/usr/bin/env python3
"""Writes packed models, and what transformers gives for their exports in float32.

    python make_packed.py            needs torch, transformers, safetensors, and build/bin/bitmill
    python make_packed.py --check    also holds `bitmill generate` against a packed books-2M; writes
                                     nothing

packed/NAME: a model of tests/golden/models that bitmill quantized, a fifth of its columns salient;
where positions are not learned, with a context that has room for all tokens.
packed/NAME.golden.safetensors: logits of its export, in the form of tests/golden/models.
packed/greedy.json: for every NAME the first ids, and what follows greedily, up to 200 tokens. "ids"
ends before the first token whose logit is less than 1e-4 above the second largest: from there on
the last bits of a sum decide.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

from greedy import greedy, load

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
MODELS = HERE.parent / "models"
BOOKS = REPOSITORY / "tests/data"
PROGRAM = REPOSITORY / "build/bin/bitmill"
NAMES = ["llama-biases", "llama-3", "mistral", "qwen2", "qwen3", "opt", "opt-post-norm"]
NEAR_TIE = 1e-4
TOKENS = 200
PROMPT = 5  # ids


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True,
                          text=True).stdout


def quantize(model, calib, packed, *options):
    run(PROGRAM, "quantize", "--model", model, "--output-dir", packed, "--calib", calib, "--epochs",
        2, "--work-dir", packed.with_suffix(".work"), *options)


def load_export(packed, folder):
    run(PROGRAM, "export", "--model", packed, "--output-dir", folder, "--dtype", "float32")
    return load(folder)


def with_longer_context(name, folder):
    shutil.copytree(MODELS / name, folder)
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "opt":
        config["max_position_embeddings"] = max(config["max_position_embeddings"], PROMPT + TOKENS)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_family(name, scratch):
    ids = load_file(MODELS / f"{name}.golden.safetensors")["input_ids"]
    source, packed, kept = scratch / f"{name}-source", scratch / name, HERE / "packed" / name
    calib = scratch / f"{name}.safetensors"
    with_longer_context(name, source)
    save_file({"input_ids": ids[:len(ids) // 12 * 12].view(-1, 12)}, calib)
    quantize(source, calib, packed, "--lr-scale", 1e-2, "--lr-gain", 1e-2)
    model = load_export(packed, scratch / f"{name}-export")
    with torch.no_grad():
        logits = model(ids.long()[None]).logits[0]
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        shutil.copy(packed / file, kept / file)
    golden = HERE / f"packed/{name}.golden.safetensors"
    save_file({"input_ids": ids, "rows": torch.arange(len(ids), dtype=torch.int32),
               "logits": logits.contiguous()}, golden)
    golden.chmod(0o644)
    prompt = ids[:PROMPT].tolist()
    context = model.config.max_position_embeddings
    new = greedy(model, prompt, min(TOKENS, context - PROMPT), NEAR_TIE)
    print(f"{name:14} {len(new)} tokens, {len(set(new))} different")
    return {"prompt_ids": prompt, "ids": new}


def check_books(scratch):
    """A real text, too large to carry: 200 tokens after some prompts."""
    packed = scratch / "books"
    quantize(BOOKS / "books-2M", BOOKS / "books/calib.txt", packed, "--samples", 32, "--seq-len",
             128)
    model = load_export(packed, scratch / "books-export")
    tokenizer = transformers.AutoTokenizer.from_pretrained(BOOKS / "books-2M")
    equal = True
    for prompt in ("It was a", "The old man", "Chapter 1\n\n", "\"Why", "On the next morning"):
        expected = greedy(model, tokenizer.encode(prompt), TOKENS, NEAR_TIE)
        mine = json.loads(run(PROGRAM, "generate", "--model", packed, "--prompt", prompt, "--json",
                              "--activations", "float32", "--max-tokens", TOKENS))["tokens"]
        same = mine[:len(expected)] == expected
        print(f"{prompt!r}: {len(expected)} tokens before a near-tie,", "equal" if same else mine)
        equal = equal and same
    return equal


def main():
    with tempfile.TemporaryDirectory() as scratch:
        if "--check" in sys.argv:
            return 0 if check_books(pathlib.Path(scratch)) else 1
        texts = {name: write_family(name, pathlib.Path(scratch)) for name in NAMES}
    result = {"transformers": transformers.__version__, "models": texts}
    (HERE / "packed/greedy.json").write_text(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
