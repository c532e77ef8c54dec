#!/usr/bin/env python3
"""Writes the golden files of this folder with the transformers library, in float32.

    python make_infer.py            needs torch, transformers, safetensors

greedy.json: what books-2M writes after some prompts, greedily, 200 tokens each. "ids" ends before
the first token whose logit is less than 1e-3 above the second largest: from there on the last bits
of a sum decide.
NAME-window.golden.safetensors: logits of the golden models with a sliding window that is shorter
than the text, in the form of tests/golden/models. windows.json has the keys of config.json that
differ from those of the model's folder.
"""

import json
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file

from greedy import greedy, load

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
BOOKS = HERE.parents[1] / "data/books-2M"
NEAR_TIE = 1e-3
TOKENS = 200
PROMPTS = ["It was a", "The old man looked at the sea and said, \"", "Chapter 1\n\n"]

WINDOWS = {
    "mistral": {"sliding_window": 8},
    "qwen2": {"use_sliding_window": True, "sliding_window": 7,
              "layer_types": ["full_attention", "sliding_attention"]},
    "qwen3": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1,
              "layer_types": None},
}


def write_greedy():
    tokenizer = transformers.AutoTokenizer.from_pretrained(BOOKS)
    model = load(BOOKS)
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt)
        new = greedy(model, ids, TOKENS, NEAR_TIE)
        text = tokenizer.decode(ids + new, skip_special_tokens=True)
        before = tokenizer.decode(ids, skip_special_tokens=True)
        cases.append({"prompt": prompt, "prompt_ids": ids, "ids": new, "text": text[len(before):]})
        print(repr(prompt), len(new), repr(cases[-1]["text"][:60]))
    result = {"transformers": transformers.__version__, "cases": cases}
    (HERE / "greedy.json").write_text(json.dumps(result, ensure_ascii=False) + "\n")


def write_window(name, changes, scratch):
    folder = scratch / name
    folder.mkdir()
    for file in (MODELS / name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    for key, value in changes.items():
        if value is None:
            config.pop(key, None)
        else:
            config[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    model = load(folder)
    ids = [(7 * i * i + 3) % config["vocab_size"] for i in range(37)]
    rows = list(range(37))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    save_file({"input_ids": torch.tensor(ids, dtype=torch.int32),
               "rows": torch.tensor(rows, dtype=torch.int32), "logits": logits.contiguous()},
              HERE / f"{name}-window.golden.safetensors")
    print(name, getattr(model.config, "layer_types", None), model.config.sliding_window)


def main():
    if "--windows" not in sys.argv:
        write_greedy()
    with tempfile.TemporaryDirectory() as scratch:
        for name, changes in WINDOWS.items():
            write_window(name, changes, pathlib.Path(scratch))
    (HERE / "windows.json").write_text(json.dumps(WINDOWS, indent=1) + "\n")


if __name__ == "__main__":
    main()
