#!/usr/bin/env python3
"""The memory of `bitmill preprocess`: what it says of models of published sizes, and what it takes of random
models that it is given. The tables are in src/method/METHOD.md, "Preprocessing". Needs no package.

    tests/bench/preprocess_figures.py                      the forecasts
    tests/bench/preprocess_figures.py --measure FOLDER     measured against planned; FOLDER is for the models
"""
import argparse
import json
import pathlib
import random
import shutil
import struct
import tempfile

import commands
from plan_figures import MODELS, write_config

SIZES = ("LLaMA-2 7B", "LLaMA-2 13B", "LLaMA-2 70B")
# ranks, stages
MESHES = ((1, 1), (8, 4), (8, 8), (64, 32))
PARTS = ("packed", "block", "heads", "passes", "streams", "adapters")

# hidden_size, intermediate_size, blocks, heads, key-value heads, context, vocabulary
WIDE = (1024, 2816, 8, 16, 16, 2048, 2048)
MANY_WORDS = (512, 1408, 4, 8, 8, 2048, 32000)
# shape, ranks, further options
RUNS = ((WIDE, 1, ("--seq-len", "512", "--threads", "1")),
        (WIDE, 1, ("--seq-len", "512", "--threads", "2")),
        (WIDE, 1, ("--seq-len", "256", "--threads", "1", "--loss", "kl")),
        (WIDE, 1, ("--seq-len", "256", "--threads", "1", "--loss", "kl", "--stream-memory", "20MB")),
        (WIDE, 2, ("--seq-len", "512", "--threads", "1", "--stages", "2")),
        (MANY_WORDS, 1, ("--seq-len", "512", "--threads", "1")))
KEPT = "layers.*.(gate|up)_proj"  # in 16 bits in the base


def gigabytes(count):
    return f"{count / 1e9:.1f}"


def print_forecasts(program):
    print("| model | stages x replicas | memory, GB | " + " | ".join(PARTS) + " | run folder, GB |")
    print("| --- " * (len(PARTS) + 4) + "|")
    for name in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write_config(folder, MODELS[name])
            for ranks, stages in MESHES:
                plan = commands.run_json([program, "preprocess", "--dry-run", "--json", "--model", folder, "--ranks",
                                          str(ranks), "--stages", str(stages), "--threads", "8"])
                cells = [name, f"{stages} x {ranks // stages}", gigabytes(plan["peak_memory_bytes"]),
                         *(gigabytes(plan["memory"][part]) for part in PARTS), gigabytes(plan["state_bytes"])]
                print(f"| {' | '.join(cells)} |")


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape, bytes)."""
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            out.write(data)


def random_weights(source, shape):
    """bfloat16 of about 0.01 in size: signs and lower bits are random."""
    data = bytearray(source.randbytes(2 * shape[0] * shape[1]))
    data[1::2] = bytes(byte & 0x80 | 0x3C for byte in data[1::2])
    return "BF16", list(shape), bytes(data)


def write_model(folder, sizes):
    folder.mkdir(parents=True)
    write_config(folder, sizes)
    hidden, inner, blocks, heads, kv_heads, _, vocabulary = sizes
    source = random.Random(0)
    ones = "BF16", [hidden], b"\x80\x3f" * hidden
    kv = hidden // heads * kv_heads
    tensors = {"model.norm.weight": ones}
    for name in ("model.embed_tokens", "lm_head"):
        tensors[f"{name}.weight"] = random_weights(source, (vocabulary, hidden))
    for block in range(blocks):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{block}.{norm}.weight"] = ones
        for part, shape in (("self_attn.q", (hidden, hidden)), ("self_attn.k", (kv, hidden)),
                            ("self_attn.v", (kv, hidden)), ("self_attn.o", (hidden, hidden)),
                            ("mlp.gate", (inner, hidden)), ("mlp.up", (inner, hidden)), ("mlp.down", (hidden, inner))):
            tensors[f"model.layers.{block}.{part}_proj.weight"] = random_weights(source, shape)
    write_safetensors(folder / "model.safetensors", tensors)


def write_rows(path, vocabulary, rows, tokens):
    source = random.Random(1)
    ids = struct.pack(f"<{rows * tokens}i", *(source.randrange(vocabulary) for _ in range(rows * tokens)))
    write_safetensors(path, {"input_ids": ("I32", [rows, tokens], ids)})


def made(program, folder, sizes, kept):
    """A model, and its base; made once."""
    name = "-".join(map(str, sizes))
    model, rows, base = folder / name, folder / f"{name}.safetensors", folder / f"{name}-{'kept' if kept else 'base'}"
    if not model.exists():
        write_model(model, sizes)
        write_rows(rows, sizes[-1], 80, 512)
    if not base.exists():
        commands.run([program, "quantize", "--model", str(model), "--calib", str(rows), "--output-dir", str(base),
                      "--samples", "2", "--seq-len", "16", "--epochs", "1", "--threads", "1",
                      *(("--ignore", KEPT) if kept else ())])
    return model, rows, base


def measure(program, folder, sizes, ranks, options, kept):
    model, rows, base = made(program, folder, sizes, kept)
    result = folder / "result"
    for name in ("result", "result.work"):
        shutil.rmtree(folder / name, ignore_errors=True)
    figures = commands.run_json(commands.on_ranks(
        ranks, program, "preprocess", "--json", "--model", str(model), "--packed", str(base), "--corpus", str(rows),
        "--output-dir", str(result), "--steps", "2", "--held-out", "0.15", *options))
    peak, planned = figures["peak_memory_bytes"], figures["planned_memory_bytes"]
    print(f"| {sizes[0]} wide, {sizes[2]} blocks, {sizes[-1]} ids{', gate and up in 16 bits' if kept else ''} | {ranks} | "
          f"`{' '.join(options)}` | {peak / 1e6:.0f} | {planned / 1e6:.0f} | {peak / planned:.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", default="build/bin/bitmill")
    parser.add_argument("--measure", type=pathlib.Path, metavar="FOLDER")
    args = parser.parse_args()
    if args.measure is None:
        print_forecasts(args.program)
        return
    print("| model | ranks | options | measured, MB | planned, MB | measured / planned |")
    print("| --- " * 6 + "|")
    for sizes, ranks, options in RUNS:
        measure(args.program, args.measure, sizes, ranks, options, kept=False)
    measure(args.program, args.measure, WIDE, 1, ("--seq-len", "256", "--threads", "1"), kept=True)


if __name__ == "__main__":
    main()
