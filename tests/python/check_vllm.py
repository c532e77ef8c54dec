#!/usr/bin/env python3
"""Holds vLLM's greedy tokens of packed books-2M against those of transformers.

    python check_vllm.py [PACKED]      default: books-2M, packed by build/bin/bitmill

Needs a Python with vLLM, transformers, and this repository's package (pip install src/python:
vLLM looks for its entry point); src/python/README.md says how to make one. Not part of ctest.
Prints versions, date and the tokens; exits with 1 when they differ.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB

import torch  # noqa: E402
import transformers  # noqa: E402
import vllm  # noqa: E402

PROMPTS = ["It was a dark night, and", "The old man said", "She looked at him and"]
TOKENS = 24


def vllm_tokens(folder: pathlib.Path) -> list[list[int]]:
    model = vllm.LLM(model=str(folder), dtype="float32", max_model_len=128, enforce_eager=True)
    greedy = vllm.SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True)
    return [list(out.outputs[0].token_ids) for out in model.generate(PROMPTS, greedy)]


def transformers_tokens(folder: pathlib.Path) -> list[list[int]]:
    import bitmill  # noqa: F401  registers the quantizer

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                             max_new_tokens=TOKENS, eos_token_id=None, pad_token_id=0)
        tokens.append(out[0, ids.shape[1] :].tolist())
    return tokens


def main() -> int:
    if len(sys.argv) > 1:
        folder = pathlib.Path(sys.argv[1])
    else:
        from folders import packed

        folder = packed("books-2M")
    ours = transformers_tokens(folder)
    theirs = vllm_tokens(folder)
    for prompt, a, b in zip(PROMPTS, ours, theirs, strict=True):
        print(f"{'same' if a == b else 'DIFFERENT'}: {prompt!r}\n  transformers {a}\n  vLLM {b}")
    same = ours == theirs
    print(f"vLLM {vllm.__version__}, transformers {transformers.__version__}, torch "
          f"{torch.__version__}, {datetime.date.today()}: {'the same' if same else 'other'} tokens")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
