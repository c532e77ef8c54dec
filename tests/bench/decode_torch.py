#!/usr/bin/env python3
"""Decoding of a packed model in transformers: unpacked for every product, dequantized, and on the
kernels; beside `bitmill bench`. In turn within every round: shared machines change their speed.

    tests/bench/decode_torch.py --program build/bin/bitmill --library build/lib/libbitmill.so
                                --work FOLDER [--shape 135M|1.1B] [--threads 1] [--rounds 3]

Makes in FOLDER, once: a 16-bit LLaMA of random weights in that shape, and its packed folder (bitmill
quantize, two short windows, one epoch). Needs a Python with torch and transformers (launch/setup.sh
--print-python). Every measurement is a process of its own. Prints a table in Markdown: medians.
Peak is what the process had in memory at most, torch itself among it (some 400 MB).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "src/python"
SHAPES = {  # hidden, inner, heads, heads of keys and values, blocks, tied head, vocabulary
    "135M": (576, 1536, 9, 3, 30, True, 49152),  # SmolLM2's
    "1.1B": (2048, 5632, 32, 4, 22, False, 32000),  # TinyLlama's
}
PROMPT, DECODED = 64, 16
WAYS = ("unpacked", "dequantized", "float32", "int16", "int8")


def make(work: pathlib.Path, shape: str, program: str) -> None:
    """In a process of its own too: the peak of a child counts what its parent had."""
    import torch
    import transformers
    from safetensors.torch import save_file

    source, packed = work / shape, work / f"{shape}-packed"
    hidden, inner, heads, kv, blocks, tied, vocab = SHAPES[shape]
    config = transformers.LlamaConfig(
        hidden_size=hidden, intermediate_size=inner, num_attention_heads=heads,
        num_key_value_heads=kv, num_hidden_layers=blocks, vocab_size=vocab,
        tie_word_embeddings=tied, max_position_embeddings=2048)
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(config).half().save_pretrained(source)
    windows = work / "windows.safetensors"
    save_file({"input_ids": torch.randint(vocab, (2, 16), dtype=torch.int32)}, windows)
    subprocess.run([program, "quantize", "--model", source, "--output-dir", packed, "--calib",
                    windows, "--epochs", "1", "--batch", "1"], check=True, capture_output=True)


def measure(folder: str, way: str, threads: int) -> None:
    """In a process of its own: prints one JSON object."""
    sys.path.insert(0, str(PACKAGE))
    import torch
    import transformers

    import bitmill

    torch.set_num_threads(threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if way == "dequantized":
        model = model.dequantize()
    elif way != "unpacked":
        bitmill.use_kernels(model, way)
    ids = (torch.arange(PROMPT)[None] * 37) % model.config.vocab_size

    def seconds(tokens: int) -> tuple[float, float]:
        """By the clock, and of processor time, which other programs change less."""
        began, worked = time.perf_counter(), time.process_time()
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                             min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0)
        assert out.shape[1] == PROMPT + tokens
        return time.perf_counter() - began, time.process_time() - worked

    seconds(2)
    first, whole = seconds(1), seconds(1 + DECODED)
    by_clock, by_work = (DECODED / (b - a) for a, b in zip(first, whole, strict=True))
    print(json.dumps({"prefill_tokens_per_s": PROMPT / first[0], "decode_tokens_per_s": by_clock,
                      "decode_per_processor_s": by_work}))


def run_one(args: argparse.Namespace, packed: pathlib.Path, way: str) -> dict[str, float]:
    if way == "bitmill bench":
        command = [args.program, "bench", "--model", packed, "--prompt-tokens", PROMPT,
                   "--decode-tokens", DECODED, "--threads", args.threads, "--json"]
    else:
        command = [sys.executable, __file__, "--measure", packed, way, args.threads]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as words:
        child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=words,
                                 env={**os.environ, "BITMILL_LIBRARY": args.library})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        words.seek(0)
        if child.returncode != 0:
            raise RuntimeError(words.read())
        out.seek(0)
        found = json.loads(out.read().splitlines()[-1])
    return {"prompt": found["prefill_tokens_per_s"], "decode": found["decode_tokens_per_s"],
            "work": found.get("decode_per_processor_s", math.nan), "peak": usage.ru_maxrss * 1024}


def main() -> None:
    if sys.argv[1:2] == ["--make"]:
        return make(pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    if sys.argv[1:2] == ["--measure"]:
        return measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--shape", default="135M", choices=SHAPES)
    parser.add_argument("--threads", default=1, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    packed = args.work / f"{args.shape}-packed"
    if not packed.exists():
        subprocess.run([sys.executable, __file__, "--make", args.work, args.shape, args.program],
                       check=True)
    ways = (*WAYS, "bitmill bench")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(args.rounds):
        for way in ways:
            found[way].append(run_one(args, packed, way))
    print("| products | prompt, tokens/s | decode, tokens/s | decode, tokens per processor second "
          "| peak, MB |")
    print("| --- | --- | --- | --- | --- |")
    for way in ways:
        prompt, decode, work, peak = (statistics.median(one[key] for one in found[way])
                                      for key in ("prompt", "decode", "work", "peak"))
        print(f"| {way} | {prompt:.1f} | {decode:.2f} | {work:.2f} | {peak / 1e6:.0f} |")


if __name__ == "__main__":
    main()
