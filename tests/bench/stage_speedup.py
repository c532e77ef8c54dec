#!/usr/bin/env python3
"""What stages are worth on this machine: the same job, one turn for a quarter of the epochs and batch 1,
on one rank and on two and four stages of one thread, beside what two independent matrix-product
processes reach over one. Everything is run in turn within a round.

    tests/bench/stage_speedup.py --program build/bin/bitmill --bench build/bin/bench_block \\
        --model SmolLM2-135M-Instruct --output build/bench/stages.jsonl [--rounds 3]

Prints speed-ups as they are and after what the planner says of fill and drain, and the peak memory of
the busiest rank beside the planner's, both less what a process holds that does nothing: that of a dry
run, and the planner's own figure for it. The results are in src/schedule/PLANNING.md.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from commands import ROOT, on_ranks, read_json_lines, run_json

MESHES = {"1 rank": (1, "sweep"), "2 stages, sweep": (2, "sweep"), "2 stages, wavefront": (2, "wavefront"),
          "4 stages": (4, "wavefront")}


def read_words():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--program", default="build/bin/bitmill")
    add("--bench", default="build/bin/bench_block")
    add("--model", help="a folder with many blocks")
    add("--settings", default="--samples 8 --seq-len 128 --epochs 4 --lag epochs/4 --batch 1 --threads 1")
    add("--calib", default=str(ROOT / "tests/data/books/calib.txt"), help="a token file costs no memory")
    add("--rounds", type=int, default=3)
    add("--output", required=True, help="one JSON object a round; appended to")
    add("--table", action="store_true", help="print what the output holds, and stop")
    return parser.parse_args()


def products(bench, processes):
    """Operations a second of so many processes at the same time, in all."""
    started = [subprocess.Popen([bench, "matmul", "4"], stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(json.loads(one.communicate()[0])["gflops"] for one in started)


# What the planner takes a process to hold: library_memory of src/pipeline/preflight.hpp.
PLANNED_PROCESS_BYTES = 150e6


def idle_bytes(args, folder, ranks):
    """Peak memory of a rank that looks at the job and does nothing, and of what launches it."""
    command = on_ranks(ranks, args.program, "quantize", "--dry-run", "--calib", args.calib, "--output-dir",
                       os.path.join(folder, "idle"), *words(args, 1, "sweep"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return usage.ru_maxrss * 1024


def words(args, stages, walk):
    return ["--model", args.model, *args.settings.split(), "--stages", str(stages), "--walk", walk]


def measure(args, folder, stages, walk):
    result = run_json(on_ranks(stages, args.program, "quantize", "--json",
                               "--calib", args.calib, "--output-dir", os.path.join(folder, f"packed-{stages}-{walk}"),
                               *words(args, stages, walk)))
    return {**{key: result[key] for key in ("seconds", "peak_memory_bytes", "planned_memory_bytes")},
            "idle_bytes": idle_bytes(args, folder, stages)}


def one_round(args):
    with tempfile.TemporaryDirectory() as folder:
        row = {"products": products(args.bench, 2) / products(args.bench, 1)}
        for name, (stages, walk) in MESHES.items():
            row[name] = measure(args, folder, stages, walk)
    return row


def forecast(args, stages, walk):
    return run_json([args.program, "plan", "--json", "--ranks", str(stages), *words(args, stages, walk)])


def table(args, rows):
    pair = statistics.median(row["products"] for row in rows)
    lines = [f"Two matrix-product processes reach {pair:.2f} of one.", "",
             "| mesh | seconds | speed-up | idle, planned | without it | of the processes' | peak, planned | measured |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, (stages, walk) in MESHES.items():
        seconds = statistics.median(row[name]["seconds"] for row in rows)
        speed_up = statistics.median(row["1 rank"]["seconds"] / row[name]["seconds"] for row in rows)
        idle = forecast(args, stages, walk)["idle_fraction"]
        peak = max(row[name]["peak_memory_bytes"] - row[name]["idle_bytes"] for row in rows)
        planned = rows[0][name]["planned_memory_bytes"] - PLANNED_PROCESS_BYTES
        # Four stages on two cores: what idles lets another rank compute.
        net = speed_up / (1 - idle) if stages <= 2 else speed_up
        lines.append(f"| {name} | {seconds:.1f} | {speed_up:.2f} | {100 * idle:.0f}% | {net:.2f} | "
                     f"{net / pair:.2f} | {planned / 1e6:.0f} MB | {peak / 1e6:.0f} MB |")
    return "\n".join(lines)


def main():
    args = read_words()
    if not args.table:
        os.makedirs(os.path.dirname(args.output) or ".", exist_ok=True)
        for _ in range(args.rounds):
            row = one_round(args)
            print(json.dumps(row), file=sys.stderr)
            with open(args.output, "a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
    print(table(args, read_json_lines(args.output)))


if __name__ == "__main__":
    main()
