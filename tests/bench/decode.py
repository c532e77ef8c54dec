#!/usr/bin/env python3
"""Decoding a LLaMA-7B-shaped model of random weights, ours beside llama.cpp's, in turn within every
round: shared machines change their speed from minute to minute.

    tests/bench/decode.py --program build/bin/bitmill --llama BUILD --work FOLDER
                          [--blocks 32] [--threads 1] [--rounds 5] [--types Q1_0,Q4_0,...]

Makes, once, in FOLDER: a 16-bit model of so many blocks, its packed folder (bitmill quantize, two
short windows, one epoch), and a GGUF file of each type with the same head in 16 bits. BUILD has
llama.cpp's bin/llama-quantize and bin/llama-bench; products.py says where its source is. Needs numpy
and the Python package gguf. Prints a table in Markdown: medians over the rounds, and how many times as
fast as each type the packed folder is.
"""
import argparse
import json
import pathlib
import statistics
import subprocess

import gguf
import numpy as np

HIDDEN, INNER, HEADS, VOCAB, CONTEXT = 4096, 11008, 32, 32000, 2048
LINEARS = {  # of a block: Hugging Face's name, llama.cpp's, rows, columns
    "self_attn.q_proj": ("attn_q", HIDDEN, HIDDEN),
    "self_attn.k_proj": ("attn_k", HIDDEN, HIDDEN),
    "self_attn.v_proj": ("attn_v", HIDDEN, HIDDEN),
    "self_attn.o_proj": ("attn_output", HIDDEN, HIDDEN),
    "mlp.gate_proj": ("ffn_gate", INNER, HIDDEN),
    "mlp.up_proj": ("ffn_up", INNER, HIDDEN),
    "mlp.down_proj": ("ffn_down", HIDDEN, INNER),
}
PROMPT_TOKENS, DECODE_TOKENS = 64, 8


def tensors(blocks):
    """(Hugging Face's name, llama.cpp's, values) of every tensor; float16, norms float32 ones. All
    blocks have the same values, which costs the same time as others, and are in memory once."""
    random = np.random.default_rng(1)

    def matrix(rows, cols):
        return (random.standard_normal((rows, cols), np.float32) * 0.02).astype(np.float16)

    ones = np.ones(HIDDEN, np.float32)
    linears = {name: matrix(rows, cols) for name, (_, rows, cols) in LINEARS.items()}
    yield "model.embed_tokens.weight", "token_embd.weight", matrix(VOCAB, HIDDEN)
    for block in range(blocks):
        ours, theirs = f"model.layers.{block}.", f"blk.{block}."
        yield ours + "input_layernorm.weight", theirs + "attn_norm.weight", ones
        yield ours + "post_attention_layernorm.weight", theirs + "ffn_norm.weight", ones
        for name, (other, _, _) in LINEARS.items():
            yield f"{ours}{name}.weight", f"{theirs}{other}.weight", linears[name]
    yield "model.norm.weight", "output_norm.weight", ones
    yield "lm_head.weight", "output.weight", matrix(VOCAB, HIDDEN)


def write_safetensors(path, named):
    """`named`: (name, array) pairs, which are written one after the other."""
    kinds = {"float16": "F16", "float32": "F32", "int32": "I32"}
    header, end = {}, 0
    for name, values in named:
        header[name] = {"dtype": kinds[values.dtype.name], "shape": list(values.shape),
                        "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, values in named:
            file.write(values.tobytes())


def write_gguf(path, blocks):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for _, name, values in tensors(blocks):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_packed(args):
    """The packed folder; what is there already is not made again."""
    packed = args.work / f"packed-{args.blocks}"
    if (packed / "config.json").exists():
        return packed
    model = args.work / f"model-{args.blocks}"
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": args.blocks, "num_attention_heads": HEADS,
        "vocab_size": VOCAB, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False}))
    write_safetensors(model / "model.safetensors",
                      [(name, values) for name, _, values in tensors(args.blocks)])
    calib = args.work / "calib.safetensors"
    ids = np.random.default_rng(2).integers(0, VOCAB, (2, 32), np.int32)
    write_safetensors(calib, [("input_ids", ids)])
    subprocess.run([args.program, "quantize", "--model", model, "--output-dir", packed, "--calib",
                    calib, "--samples", "2", "--seq-len", "32", "--epochs", "1"], check=True)
    return packed


def make_gguf(args, kind):
    whole = args.work / f"F16-{args.blocks}.gguf"
    if not whole.exists():
        write_gguf(whole, args.blocks)
    if kind == "F16":
        return whole
    path = args.work / f"{kind}-{args.blocks}.gguf"
    if not path.exists():
        subprocess.run([args.llama / "bin/llama-quantize", "--output-tensor-type", "f16",
                        "--token-embedding-type", "f16", whole, path, kind],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def ours(args, packed):
    """Prompt tokens/s and decoded tokens/s."""
    told = subprocess.run([args.program, "bench", "--model", packed, "--threads",
                           str(args.threads), "--prompt-tokens", str(PROMPT_TOKENS),
                           "--decode-tokens", str(DECODE_TOKENS), "--repeats", "1", "--json"],
                          check=True, capture_output=True, text=True)
    figures = json.loads(told.stdout)
    return figures["prefill_tokens_per_s"], figures["decode_tokens_per_s"]


def theirs(args, path):
    told = subprocess.run([args.llama / "bin/llama-bench", "-m", path, "-t", str(args.threads),
                           "-p", str(PROMPT_TOKENS), "-n", str(DECODE_TOKENS), "-r", "1",
                           "-o", "json"], check=True, capture_output=True, text=True)
    speeds = {test["n_prompt"]: test["avg_ts"] for test in json.loads(told.stdout)}
    return speeds[PROMPT_TOKENS], speeds[0]


def read_words():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--llama", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--blocks", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--types", default="F16,Q8_0,Q4_0,TQ2_0,TQ1_0,Q1_0")
    return parser.parse_args()


def main():
    args = read_words()
    args.work.mkdir(parents=True, exist_ok=True)
    packed = make_packed(args)
    cases = {"packed": lambda: ours(args, packed)}
    for kind in args.types.split(","):
        path = make_gguf(args, kind)
        cases["llama.cpp " + kind] = lambda path=path: theirs(args, path)
    figures = {name: [] for name in cases}
    for _ in range(args.rounds):
        for name, measure in cases.items():
            figures[name].append(measure())
    medians = {name: [statistics.median(column) for column in zip(*rounds)]
               for name, rounds in figures.items()}
    mine = medians["packed"]
    print(f"{args.blocks} blocks, {args.threads} thread(s), {args.rounds} rounds; prompt of "
          f"{PROMPT_TOKENS}, {DECODE_TOKENS} decoded\n")
    print("| model | prompt, tokens/s | decode, tokens/s | ms per token | packed is x times as fast |")
    print("| --- | --- | --- | --- | --- |")
    for name, (prompt, decode) in medians.items():
        print(f"| {name} | {prompt:.1f} | {decode:.2f} | {1000 / decode:.1f} | "
              f"{mine[1] / decode:.2f} ({mine[0] / prompt:.2f} prompt) |")


if __name__ == "__main__":
    main()
