#!/usr/bin/env python3
"""A block step on a GPU: bitmill's beside one of plain PyTorch under 16-bit autocast, in turn within one
run. The last line is for launch/gpu-check.sh.

    tests/bench/gpu_step.py --program build/cuda/bin/bench_gpu_block [--shapes 7B,70B] [--steps 10] [--rounds 3]
    tests/bench/gpu_step.py --program build/emulated/bin/bench_gpu_block --shapes small --on cpu

The plain step is what one writes first: the dequantized weight is made from the scales, autograd goes
back through it, and attention is scaled_dot_product_attention. It is spared what the published script
repeats at every step: codes and signs are made once, and nothing waits for the GPU within a step.
`--on cpu` is for rehearsals: its times say nothing about a GPU.
"""
import argparse
import json
import statistics
import subprocess
import time

import torch
from torch.nn import functional

# hidden, inner, heads, key-value heads, head_dim, tokens: as in block_shapes.hpp
SHAPES = {"small": (64, 192, 4, 2, 16, 32),
          "7B": (4096, 11008, 32, 32, 128, 2048),
          "13B": (5120, 13824, 40, 40, 128, 2048),
          "70B": (8192, 28672, 64, 8, 128, 2048)}
SALIENT_EVERY = 5


class PlainLinear(torch.nn.Module):
    """A quantized linear whose dequantized weight is made at every call."""

    def __init__(self, rows, cols, device):
        super().__init__()
        mask = torch.arange(cols, device=device) % SALIENT_EVERY == 0
        sign = torch.where(torch.randn(rows, cols, device=device) > 0, 1.0, -1.0)
        four_bit = torch.randint(-8, 8, (rows, cols), device=device) * 0.01
        self.register_buffer("mask", mask)
        self.register_buffer("sign", sign)
        self.register_buffer("four_bit", four_bit)
        self.register_buffer("mean", torch.randn(rows, 1, device=device) * 1e-3)
        self.row_scale = torch.nn.Parameter(torch.full((rows, 1), 0.02, device=device))
        self.row_gain = torch.nn.Parameter(torch.ones(rows, 1, device=device))
        self.col_gain = torch.nn.Parameter(torch.ones(1, cols, device=device))

    def forward(self, x):
        one_bit = self.row_gain * self.col_gain * (self.row_scale * self.sign + self.mean)
        return functional.linear(x, torch.where(self.mask, self.four_bit, one_bit))


class PlainBlock(torch.nn.Module):
    def __init__(self, sizes, device):
        super().__init__()
        hidden, inner, self.heads, self.kv_heads, self.head_dim, tokens = sizes
        width, kv_width = self.heads * self.head_dim, self.kv_heads * self.head_dim
        shapes = {"q": (width, hidden), "k": (kv_width, hidden), "v": (kv_width, hidden), "o": (hidden, width),
                  "gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
        self.linears = torch.nn.ModuleDict({name: PlainLinear(*shape, device) for name, shape in shapes.items()})
        self.norm = torch.ones(hidden, device=device)
        rate = 10000.0 ** (-torch.arange(0, self.head_dim, 2, device=device) / self.head_dim)
        angle = torch.arange(tokens, device=device)[:, None] * rate
        angle = torch.cat((angle, angle), -1)
        self.cosine, self.sine = angle.cos(), angle.sin()

    def rotate(self, x):
        first, second = x.chunk(2, -1)
        return (x * self.cosine + torch.cat((-second, first), -1) * self.sine).to(x.dtype)

    def heads_of(self, x, count):
        return x.view(-1, count, self.head_dim).transpose(0, 1)

    def attention(self, x):
        query = self.rotate(self.heads_of(self.linears["q"](x), self.heads))
        key = self.rotate(self.heads_of(self.linears["k"](x), self.kv_heads))
        value = self.heads_of(self.linears["v"](x), self.kv_heads)
        repeat = self.heads // self.kv_heads
        key, value = key.repeat_interleave(repeat, 0), value.repeat_interleave(repeat, 0)
        out = functional.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True)[0]
        return self.linears["o"](out.transpose(0, 1).reshape(x.shape[0], -1))

    def normed(self, x):
        return functional.rms_norm(x, x.shape[-1:], self.norm.to(x.dtype), 1e-5)

    def forward(self, x):
        x = x + self.attention(self.normed(x))
        y = self.normed(x)
        gated = functional.silu(self.linears["gate"](y)) * self.linears["up"](y)
        return x + self.linears["down"](gated)


def distance(student, target):
    cosine = functional.cosine_similarity(student, target, dim=-1).mean()
    return functional.mse_loss(student, target) - cosine.abs().log()


class PlainStep:
    def __init__(self, sizes, device):
        torch.manual_seed(1)
        self.device = device
        self.block = PlainBlock(sizes, device)
        self.optimizer = torch.optim.AdamW(self.block.parameters(), lr=1e-4, weight_decay=0.0,
                                           fused=device == "cuda")
        self.x, self.normal, self.homologous = (
            torch.randn(sizes[-1], sizes[0], device=device, dtype=torch.bfloat16) for _ in range(3))

    def step(self):
        with torch.autocast(self.device, dtype=torch.bfloat16):
            out = self.block(self.x)
        loss = distance(out.float(), self.normal.float()) + distance(out.float(), self.homologous.float())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def median_ms(self, steps):
        for _ in range(3):
            loss = self.step()
        if not torch.isfinite(loss):
            raise SystemExit("the loss of the plain step is not finite")
        all_ms = []
        for _ in range(steps):
            self.wait()
            begin = time.perf_counter()
            self.step()
            self.wait()
            all_ms.append((time.perf_counter() - begin) * 1e3)
        return statistics.median(all_ms)


def bitmill_step(args, shape, signs):
    command = [args.program, shape, "bfloat16", signs, str(args.steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    found = json.loads(done.stdout)
    if found["sizes"] != list(SHAPES[shape]):
        raise SystemExit(f"{shape} has other sizes in block_shapes.hpp: {found['sizes']}")
    return found


def plain_ms(args, shape):
    step = PlainStep(SHAPES[shape], args.on)
    result = step.median_ms(args.steps)
    del step
    if args.on == "cuda":
        torch.cuda.empty_cache()  # bitmill is a process of its own and needs the memory
    return result


def against(value, goal):
    """In the words that launch/gpu-check.sh looks for."""
    return f"goal {goal}" if value >= goal else f"below the goal {goal}"


def line_of(args, shape):
    ours, plain = [], []
    for _ in range(args.rounds):
        plain.append(plain_ms(args, shape))
        ours.append(bitmill_step(args, shape, "frozen"))
    ms = statistics.median(run["step_ms"] for run in ours)
    ratio = statistics.median(p / run["step_ms"] for p, run in zip(plain, ours))
    share = statistics.median(run["share_of_product_rate"] for run in ours)
    rate = statistics.median(run["product_tflops"] for run in ours)
    print(f"{shape}: bitmill {ms:.2f} ms, plain PyTorch {statistics.median(plain):.2f} ms, "
          f"{ratio:.2f} times; {share:.2f} of {rate:.0f} TFLOP/s; with learned signs "
          f"{bitmill_step(args, shape, 'signs')['step_ms']:.2f} ms", flush=True)
    return (f"{shape} {ratio:.2f}x plain ({against(ratio, 3)}), "
            f"{share:.2f} of products' rate ({against(share, 0.6)})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--shapes", default="7B,70B")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--on", default="cuda", choices=("cuda", "cpu"), help="where the plain step runs")
    args = parser.parse_args()
    shapes = args.shapes.split(",")
    if unknown := [shape for shape in shapes if shape not in SHAPES]:
        parser.error(f"no shape {', '.join(unknown)}; there are {', '.join(SHAPES)}")
    print("; ".join([line_of(args, shape) for shape in shapes]))


if __name__ == "__main__":
    main()
