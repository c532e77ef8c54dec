#!/usr/bin/env python3
"""Writes a tiny model of every family, with random weights, and its logits in float32.

    python make_families.py [NAME ...]          needs torch, transformers, safetensors

Per NAME of the table below: the folder NAME/ and NAME.golden.safetensors, as make_golden.py says.
Sizes are odd on purpose; between them the models have every feature of the tables in src/model.
"""

import json
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

from make_golden import HERE, write_logits

LENGTH = 37

# name: class, dtype, settings
MODELS = {
    # Biases everywhere; dynamic scaling, which changes nothing within the context.
    "llama-biases": ("Llama", torch.float16, dict(
        hidden_size=20, intermediate_size=33, num_attention_heads=5, num_key_value_heads=1,
        head_dim=6, vocab_size=71, max_position_embeddings=48, attention_bias=True, mlp_bias=True,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0})),
    # Wavelengths 6.3, 63, 628, 6283: the first is kept, the second between, the others stretched.
    "llama-3": ("Llama", torch.bfloat16, dict(
        hidden_size=24, intermediate_size=35, num_attention_heads=3, num_key_value_heads=3,
        head_dim=8, vocab_size=73, max_position_embeddings=512,
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                         "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 64})),
    # An activation with several names: variants.json has the others.
    "llama-gelu": ("Llama", torch.bfloat16, dict(
        hidden_size=20, intermediate_size=31, num_attention_heads=2, num_key_value_heads=1,
        vocab_size=61, max_position_embeddings=48, hidden_act="gelu_new")),
    "mistral": ("Mistral", torch.bfloat16, dict(
        hidden_size=28, intermediate_size=45, num_attention_heads=4, num_key_value_heads=2,
        head_dim=6, vocab_size=83, max_position_embeddings=128, sliding_window=40)),
    "qwen2": ("Qwen2", torch.float16, dict(
        hidden_size=24, intermediate_size=37, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=79, max_position_embeddings=64, tie_word_embeddings=True,
        rope_parameters={"rope_type": "linear", "rope_theta": 1e6, "factor": 2.5})),
    "qwen3": ("Qwen3", torch.bfloat16, dict(
        hidden_size=20, intermediate_size=39, num_attention_heads=4, num_key_value_heads=2,
        head_dim=10, vocab_size=77, max_position_embeddings=64)),
    "opt": ("OPT", torch.bfloat16, dict(
        hidden_size=24, ffn_dim=41, num_attention_heads=3, vocab_size=79,
        max_position_embeddings=64, word_embed_proj_dim=24)),
    # As OPT-350m: norms after the sums, no final one, narrow embeddings.
    "opt-post-norm": ("OPT", torch.float16, dict(
        hidden_size=24, ffn_dim=41, num_attention_heads=4, vocab_size=67,
        max_position_embeddings=48, word_embed_proj_dim=14, do_layer_norm_before=False)),
}


def random_model(kind, dtype, settings):
    """Weights large enough that attention is far from uniform; norms far from 1, biases from 0."""
    config = getattr(transformers, kind + "Config")(num_hidden_layers=2, **settings)
    model = getattr(transformers, kind + "ForCausalLM")(config)
    generator = torch.Generator().manual_seed(161)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.3 * noise if is_gain else 0.25 * noise)
    model.tie_weights()
    return model.to(dtype)


def rewrite_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_older_rope(config):
    """As transformers 4 wrote it."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = {"type": rope.pop("rope_type"), **rope}
    config["torch_dtype"] = config.pop("dtype")


def drop_outer_prefix(folder):
    """As a model that was saved without its head has it: decoder.layers.0. ..."""
    path = folder / "model.safetensors"
    tensors = {name.removeprefix("model."): t for name, t in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})


def main():
    for name in sys.argv[1:] or MODELS:
        kind, dtype, settings = MODELS[name]
        folder = HERE / name
        random_model(kind, dtype, settings).save_pretrained(folder)
        (folder / "generation_config.json").unlink()
        if name == "qwen2":
            rewrite_config(folder, write_older_rope)
        if name == "opt-post-norm":
            drop_outer_prefix(folder)
            rewrite_config(folder, lambda config: config.pop("tie_word_embeddings", None))
        vocab = settings["vocab_size"]
        write_logits(name, folder, [(7 * i * i + 3) % vocab for i in range(LENGTH)],
                     list(range(LENGTH)))


if __name__ == "__main__":
    main()
