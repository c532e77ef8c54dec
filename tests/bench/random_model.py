#!/usr/bin/env python3
"""Writes a model with random weights, and random token windows for it: for checks of a whole job where
no model can be fetched. Needs PyTorch, and nothing of Hugging Face's.

    tests/bench/random_model.py FOLDER [--shape smollm2|small] [--windows 16] [--tokens 512]
    tests/bench/random_model.py FOLDER --windows-for DIR    the windows alone, for the model in DIR

FOLDER/model is the model in bfloat16; FOLDER/windows.safetensors is for --calib, and for eval's --corpus.
"""
import argparse
import json
import pathlib
import struct

import torch

# Of SmolLM2-135M: https://huggingface.co/HuggingFaceTB/SmolLM2-135M/blob/main/config.json
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
           "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192, "rope_theta": 100000.0}
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "vocab_size": 64, "max_position_embeddings": 128, "rope_theta": 10000.0}
SHAPES = {"smollm2": SMOLLM2, "small": SMALL}
TYPES = {torch.bfloat16: "BF16", torch.int32: "I32"}


def write_tensors(path, tensors):
    """A safetensors file: the length of the header, the header, the bytes of every tensor."""
    header, offset = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            out.write(tensor.contiguous().view(torch.uint8).numpy().tobytes())


def tensors_of(sizes):
    hidden, inner = sizes["hidden_size"], sizes["intermediate_size"]
    kv = hidden // sizes["num_attention_heads"] * sizes["num_key_value_heads"]

    def random(*shape):
        return (torch.randn(*shape) * 0.02).to(torch.bfloat16)

    tensors = {"model.embed_tokens.weight": random(sizes["vocab_size"], hidden)}
    for block in range(sizes["num_hidden_layers"]):
        name = f"model.layers.{block}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{name}{norm}.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
        for part, rows in (("q", hidden), ("k", kv), ("v", kv), ("o", hidden)):
            tensors[f"{name}self_attn.{part}_proj.weight"] = random(rows, hidden)
        for part in ("gate", "up"):
            tensors[f"{name}mlp.{part}_proj.weight"] = random(inner, hidden)
        tensors[f"{name}mlp.down_proj.weight"] = random(hidden, inner)
    tensors["model.norm.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
    return tensors


def write_model(folder, sizes):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
              "tie_word_embeddings": True, "dtype": "bfloat16", **sizes}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    write_tensors(folder / "model.safetensors", tensors_of(sizes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", default="smollm2", choices=SHAPES)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--windows-for", type=pathlib.Path, metavar="DIR")
    args = parser.parse_args()
    torch.manual_seed(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.windows_for is None:
        sizes = SHAPES[args.shape]
        write_model(args.folder / "model", sizes)
    else:
        sizes = json.loads((args.windows_for / "config.json").read_text(encoding="utf-8"))
    ids = torch.randint(0, sizes["vocab_size"], (args.windows, args.tokens), dtype=torch.int32)
    write_tensors(args.folder / "windows.safetensors", {"input_ids": ids})
    print(f"{args.folder}: {args.windows} windows of {args.tokens} tokens")


if __name__ == "__main__":
    main()
