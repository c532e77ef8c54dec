#!/usr/bin/env python3
"""What stages are worth on this machine: the same job, one turn for a quarter of the epochs and batch 1,
on one rank and on two and four stages of one thread, beside what two independent matrix-product
processes reach over one. Everything is run in turn within a round.

    tests/bench/stage_speedup.py --program build/bin/bitmill --bench build/bin/bench_block \\
        --model SmolLM2-135M-Instruct --output build/bench/stages.jsonl [--rounds 3]

Prints speed-ups over one rank of the same walk as they are, and after taking out what keeps stages from
their number by the planner's forecast: fill, drain, start, end, and outputs of the teacher that a
narrower band computes again. The forecast is made with a calibration of this sitting. Beside it, the peak
memory of the busiest rank and the planner's, both less those of a job of next to nothing on as many
ranks: what a process holds whatever it works on. The results are in src/schedule/PLANNING.md.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from commands import ROOT, on_ranks, read_json_lines, run, run_json

MESHES = {"1 rank, sweep": (1, "sweep"), "2 stages, sweep": (2, "sweep"), "1 rank, wavefront": (1, "wavefront"),
          "2 stages, wavefront": (2, "wavefront"), "4 stages, wavefront": (4, "wavefront")}


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
    started = [subprocess.Popen([bench, "matmul", "8"], stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(json.loads(one.communicate()[0])["gflops"] for one in started)


NEXT_TO_NOTHING = ["--model", str(ROOT / "tests/data/books-2M"), "--max-blocks", "1", "--samples", "1", "--seq-len", "8",
                   "--epochs", "1", "--threads", "1"]


def memory_of_nothing(args, folder, ranks):
    """Peak and planned bytes of a rank that has loaded all it needs and has next to nothing to do."""
    found = run_json(on_ranks(ranks, args.program, "quantize", "--json", "--calib", args.calib, "--output-dir",
                              os.path.join(folder, f"nothing-{ranks}"), *NEXT_TO_NOTHING))
    return found["peak_memory_bytes"], found["planned_memory_bytes"]


def words(args, stages, walk):
    return ["--model", args.model, *args.settings.split(), "--stages", str(stages), "--walk", walk]


def measure(args, folder, stages, walk):
    result = run_json(on_ranks(stages, args.program, "quantize", "--json",
                               "--calib", args.calib, "--output-dir", os.path.join(folder, f"packed-{stages}-{walk}"),
                               *words(args, stages, walk)))
    return {key: result[key] for key in ("seconds", "peak_memory_bytes", "planned_memory_bytes")}


def one_round(args):
    with tempfile.TemporaryDirectory() as folder:
        row = {"products": products(args.bench, 2) / products(args.bench, 1), "planned": forecasts(args, folder)}
        row["nothing"] = {ranks: memory_of_nothing(args, folder, ranks) for ranks in {one for one, _ in MESHES.values()}}
        for name, (stages, walk) in MESHES.items():
            row[name] = measure(args, folder, stages, walk)
    return json.loads(json.dumps(row))  # as a row reads that was kept


def forecasts(args, folder):
    """Seconds of every mesh, by what this machine gives right now to one rank."""
    hardware = os.path.join(folder, "machine.cfg")
    run([args.program, "plan", "--ranks", "1", "--calibrate", "--save", hardware, "--scratch-dir", folder,
         *words(args, 1, "sweep")])
    return {name: run_json([args.program, "plan", "--json", "--ranks", str(stages), "--hardware", hardware,
                            *words(args, stages, walk)])["makespan_s"]
            for name, (stages, walk) in MESHES.items()}


def line(name, stages, walk, rows, pair):
    alone = f"1 rank, {walk}"
    seconds = statistics.median(row[name]["seconds"] for row in rows)
    speed_up = statistics.median(row[alone]["seconds"] / row[name]["seconds"] for row in rows)
    planned = statistics.median(row["planned"][alone] / row["planned"][name] for row in rows)
    net = stages * speed_up / planned
    # More stages than the two cores: their speed-up is held against that of two stages.
    of_pair = f"{net / pair:.2f}" if stages == 2 else ""
    net_bytes = [[row[name][key] - row["nothing"][str(stages)][i] for row in rows]
                 for i, key in enumerate(("peak_memory_bytes", "planned_memory_bytes"))]
    peak, planned_peak = map(max, net_bytes)
    return (f"| {name} | {seconds:.1f} | {speed_up:.2f} | {planned:.2f} | {net:.2f} | {of_pair} | "
            f"{planned_peak / 1e6:.0f} MB | {peak / 1e6:.0f} MB |")


def table(rows):
    pair = statistics.median(row["products"] for row in rows)
    lines = [f"Two matrix-product processes reach {pair:.2f} of one.", "",
             "| mesh | seconds | speed-up | on as many cores, by the planner | without what the planner sees | "
             "of the processes' | peak, planned | measured |", "| --- " * 8 + "|"]
    return "\n".join(lines + [line(name, *mesh, rows, pair) for name, mesh in MESHES.items()])


def main():
    args = read_words()
    if not args.table:
        os.makedirs(os.path.dirname(args.output) or ".", exist_ok=True)
        for _ in range(args.rounds):
            row = one_round(args)
            print(json.dumps(row), file=sys.stderr)
            with open(args.output, "a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
    print(table(read_json_lines(args.output)))


if __name__ == "__main__":
    main()
