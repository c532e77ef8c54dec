#!/usr/bin/env python3
"""Benchmarks of the block step: every figure is a median over rounds, and what is compared is run
in turn within a round, because shared machines change their speed from minute to minute.

    tests/bench/run.py build/bin/bench_block [--rounds 5] [--seconds 4] [--shape 576x1536] [--output FILE.md]
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess

SHAPES = {"576x1536": 512, "4096x11008": 128}  # hidden x inner: tokens
MPI = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "--oversubscribe"]


def start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}")
    return json.loads(out)


def once(command):
    return finish(start(command))


def medians(runs):
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def processor():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def variants_table(bench, shapes, rounds, seconds):
    rows = []
    for shape, tokens in shapes.items():
        for threads in (1, 2):
            runs = {name: [] for name in ("matmul", "plain", "reference", "cpu")}
            for _ in range(rounds):
                pair = [start([bench, "matmul", str(seconds)]) for _ in range(threads)]
                runs["matmul"].append({"gflops": sum(finish(one)["gflops"] for one in pair)})
                for name in ("plain", "reference", "cpu"):
                    runs[name].append(once([bench, "step", name, shape, "1", str(threads), str(seconds)]))
            machine = medians(runs["matmul"])["gflops"]
            plain = [run["step_ms"] for run in runs["plain"]]
            for name in ("plain", "reference", "cpu"):
                m = medians(runs[name])
                speed = statistics.median(p / run["step_ms"] for p, run in zip(plain, runs[name]))
                rows.append(f"| {shape}, {tokens} tokens | {threads} | {name} | {m['step_ms']:.1f} | "
                            f"{m['tokens_per_s']:.0f} | {m['gflops']:.1f} | {m['gflops'] / machine:.2f} | "
                            f"{m['peak_bytes'] / 1e6:.0f} | {speed:.2f} |")
    head = ("| shape | threads | variant | ms per step | tokens/s | GFLOP/s | of the machine's products | "
            "peak MB | against plain |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
    return head + "\n".join(rows)


def ranks_table(bench, rounds, seconds):
    step = ["step", "cpu", "576x1536", "8"]
    products, ranks, threads = [], [], []
    for _ in range(rounds):
        alone = once([bench, "matmul", str(seconds)])["gflops"]
        pair = [start([bench, "matmul", str(seconds)]) for _ in range(2)]
        products.append(sum(finish(one)["gflops"] for one in pair) / alone)
        one = once(MPI + ["-n", "1", bench] + step + ["1", str(seconds)])["tokens_per_s"]
        two = once(MPI + ["-n", "2", bench] + step + ["1", str(seconds)])["tokens_per_s"]
        both = once([bench] + step + ["2", str(seconds)])["tokens_per_s"]
        ranks.append(two / one)
        threads.append(both / one)
    p, r, t = map(statistics.median, (products, ranks, threads))
    return ("| 576x1536, 512 tokens, B = 8 | work per second over one rank with one thread | of what two processes reach |\n"
            "| --- | --- | --- |\n"
            f"| two independent matrix-product processes | {p:.2f} | 1 |\n"
            f"| two ranks, one thread each (mpirun) | {r:.2f} | {r / p:.2f} |\n"
            f"| one rank, two threads | {t:.2f} | {t / p:.2f} |")


def signs_table(bench, shapes, rounds, seconds):
    rows = []
    for shape, tokens in shapes.items():
        for batch in (1, 8):
            runs = {"cpu": [], "signs": []}
            for _ in range(rounds):
                for name in runs:
                    runs[name].append(once([bench, "step", name, shape, str(batch), "1", str(seconds)]))
            ratio = statistics.median(b["step_ms"] / a["step_ms"] for a, b in zip(runs["cpu"], runs["signs"]))
            a, b = medians(runs["cpu"]), medians(runs["signs"])
            rows.append(f"| {shape}, {tokens} tokens | {batch} | {a['step_ms']:.1f} | {b['step_ms']:.1f} | {ratio:.2f} | "
                        f"{a['peak_bytes'] / 1e6:.0f} | {b['peak_bytes'] / 1e6:.0f} |")
    head = ("| shape | batch | scales alone, ms per step | signs too | ratio | scales alone, peak MB | signs too |\n"
            "| --- | --- | --- | --- | --- | --- | --- |\n")
    return head + "\n".join(rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--shape", choices=SHAPES, help="one shape instead of all")
    parser.add_argument("--signs", action="store_true", help="learned signs against scales alone, and nothing else")
    parser.add_argument("--output", help="appended to")
    args = parser.parse_args()
    bench = os.path.abspath(args.bench)
    shapes = {args.shape: SHAPES[args.shape]} if args.shape else SHAPES
    if args.signs:
        print(signs_table(bench, shapes, args.rounds, args.seconds))
        return
    report = (f"# Block step\n\n{datetime.date.today()}, {processor()}, {os.cpu_count()} processors visible; "
              f"median of {args.rounds} rounds of {args.seconds:g} s each, variants in turn within a round. "
              "GFLOP/s counts two products per linear for every variant.\n\n"
              f"{variants_table(bench, shapes, args.rounds, args.seconds)}\n\n")
    if "576x1536" in shapes:
        report += ranks_table(bench, args.rounds, args.seconds) + "\n"
    print(report)
    if args.output:
        with open(args.output, "a") as out:
            out.write(report)


if __name__ == "__main__":
    main()
