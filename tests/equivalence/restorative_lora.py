"""Restorative LoRA in plain PyTorch, to compare `bitmill preprocess` with.

    restorative_lora.py BASE INPUTS RESULT

BASE is an ordinary folder with the dequantized weights. INPUTS is a safetensors file: "ids"
[steps, batch, T], and the first A of every adapter, "NAME.lora_a"; its metadata has the settings.
Writes RESULT: "losses" [steps], and "NAME.change" = (alpha / rank) B A of every adapter.
"""

from __future__ import annotations

import math
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaForCausalLM


class Adapted(torch.nn.Module):
    def __init__(self, linear: torch.nn.Linear, first_a: torch.Tensor, scale: float):
        super().__init__()
        self.linear = linear
        self.scale = scale
        self.a = torch.nn.Parameter(first_a.clone())
        self.b = torch.nn.Parameter(torch.zeros(linear.out_features, first_a.shape[0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + self.scale * (x @ self.a.T @ self.b.T)


def add_adapters(model, tensors: dict, scale: float) -> dict[str, Adapted]:
    adapters = {}
    for key, first_a in tensors.items():
        if not key.endswith(".lora_a"):
            continue
        name = key.removesuffix(".weight.lora_a")
        parent, _, last = name.rpartition(".")
        owner = model.get_submodule(parent)
        adapters[name] = Adapted(getattr(owner, last), first_a, scale)
        setattr(owner, last, adapters[name])
    return adapters


def rate_factor(step: int, warmup: int, steps: int) -> float:
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def main() -> None:
    base, inputs, result = sys.argv[1:]
    torch.manual_seed(0)
    with safe_open(inputs, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        settings = {key: float(value) for key, value in file.metadata().items() if key != "format"}
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32,
                                             attn_implementation="eager")
    model.requires_grad_(False)
    scale = settings["alpha"] / settings["rank"]
    adapters = add_adapters(model, tensors, scale)
    parameters = [value for one in adapters.values() for value in (one.a, one.b)]
    optimizer = torch.optim.AdamW(parameters, lr=settings["lr"])
    all_ids = tensors["ids"].long()
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(step, int(settings["warmup_steps"]), len(all_ids)))
    losses = []
    for ids in all_ids:
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    changes = {f"{name}.weight.change": (one.scale * one.b @ one.a).detach().contiguous()
               for name, one in adapters.items()}
    save_file({"losses": torch.tensor(losses), **changes}, result)


if __name__ == "__main__":
    main()
