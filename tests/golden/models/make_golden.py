#!/usr/bin/env python3
"""Writes the golden files of this folder with the transformers library, in float32.

    python make_golden.py            needs torch, transformers, safetensors, numpy

Two tiny models with random weights, carried as they are written here:
    untied-gqa/   own head, grouped queries, head_dim other than hidden / heads, theta under
                  rope_parameters, bfloat16, two shards with an index
    tied-mha/     head = embedding, a config.json in the older style, float16, one file

Per model NAME, NAME.golden.safetensors: input_ids int32 [T], rows int32 [k], logits float32
[k, vocab], the logits at those positions. And perplexity.json: perplexities over whole windows.
"""

import json
import math
import pathlib

import numpy
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
SHARED = REPOSITORY.parent / "shared"
BOOKS = REPOSITORY / "tests/data/books-2M"
STORIES = SHARED / "models/stories260K"
EVAL_TEXT = REPOSITORY / "tests/data/books/eval.txt"
STORIES_WINDOWS = SHARED / "oracle/stories260K/eval.safetensors"


def random_model(config, dtype):
    """Weights large enough that attention is far from uniform, and norms far from 1."""
    model = transformers.LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(161)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name
            parameter.copy_(1 + 0.3 * noise if is_norm else 0.25 * noise)
    model.tie_weights()
    return model.to(dtype)


def make_untied_gqa(folder):
    config = transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, vocab_size=96, max_position_embeddings=64,
        rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    random_model(config, torch.bfloat16).save_pretrained(folder, max_shard_size="24KB")
    (folder / "generation_config.json").unlink()


def make_tied_mha(folder):
    config = transformers.LlamaConfig(
        hidden_size=18, intermediate_size=33, num_hidden_layers=2, num_attention_heads=3,
        vocab_size=67, max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=True)
    random_model(config, torch.float16).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    # As older tools write it: optional keys left out, theta at top level.
    old_style = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 18,
        "intermediate_size": 33, "num_hidden_layers": 2, "num_attention_heads": 3,
        "vocab_size": 67, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "rope_scaling": None, "hidden_act": "silu",
        "tie_word_embeddings": True, "torch_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(old_style, indent=2) + "\n")


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def write_logits(name, folder, ids, rows):
    with torch.no_grad():
        logits = load(folder)(torch.tensor([ids])).logits[0, rows]
    save_file({"input_ids": torch.tensor(ids, dtype=torch.int32),
               "rows": torch.tensor(rows, dtype=torch.int32),
               "logits": logits.contiguous()},
              HERE / f"{name}.golden.safetensors")
    print(name, "largest logit", logits.abs().max().item())


def perplexity(folder, windows):
    """exp of the mean over windows of their mean next-token loss. windows: [N, T]."""
    model = load(folder)
    total = 0.0
    for batch in torch.tensor(windows, dtype=torch.int64).split(8):
        with torch.no_grad():
            logits = model(batch).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
        total += losses.double().view(len(batch), -1).mean(1).sum().item()
    return {"windows": len(windows), "seq_len": len(windows[0]),
            "perplexity": math.exp(total / len(windows))}


def cut(ids, length):
    return numpy.array(ids[:len(ids) // length * length]).reshape(-1, length)


def main():
    make_untied_gqa(HERE / "untied-gqa")
    make_tied_mha(HERE / "tied-mha")
    write_logits("untied-gqa", HERE / "untied-gqa", [(7 * i * i + 3) % 96 for i in range(37)],
                 list(range(37)))
    write_logits("tied-mha", HERE / "tied-mha", [(5 * i * i + 1) % 67 for i in range(33)],
                 list(range(33)))

    tokenizer = tokenizers.Tokenizer.from_file(str(BOOKS / "tokenizer.json"))
    books = cut(tokenizer.encode(EVAL_TEXT.read_text(encoding="utf-8")).ids, 256)
    stories = load_file(STORIES_WINDOWS)["input_ids"].numpy()
    rows = [0, 1, 31, 32, 63, 127, 200, 255]
    write_logits("books-2M", BOOKS, books[7].tolist(), rows)
    write_logits("stories260K", STORIES, stories[3].tolist(), rows)

    result = {"transformers": transformers.__version__, "torch": torch.__version__,
              "books-2M": perplexity(BOOKS, books), "stories260K": perplexity(STORIES, stories)}
    (HERE / "perplexity.json").write_text(json.dumps(result, indent=2) + "\n")
    print(result)


if __name__ == "__main__":
    main()
