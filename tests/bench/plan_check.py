#!/usr/bin/env python3
"""Holds `bitmill plan` against the clock: measures this machine with `plan --calibrate`, runs jobs on
several meshes and lags, and prints predicted and measured seconds side by side. Every run is measured
right before it: virtual machines change their speed within minutes. Seconds are those of the whole
command, from its start to its end.

    tests/bench/plan_check.py --program build/bin/bitmill --smol SmolLM2-135M-Instruct [--cases 'books*']

The table is in src/schedule/PLANNING.md. Nothing else should run on the machine meanwhile; SmolLM2's
rows are left out without --smol.
"""
import argparse
import collections
import fnmatch
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from commands import ROOT, on_ranks, read_json_lines, run

Case = collections.namedtuple("Case", "model ranks threads stages lag walk")
SETTINGS = {"books": "--recipe parallel --samples 32 --seq-len 256 --epochs 8",
            "smol": "--samples 8 --seq-len 128 --epochs 4 --max-blocks 6"}
CASES = {"books, 1 rank, lag E": Case("books", 1, 1, 1, "epochs", "sweep"),
         "books, 1 rank, lag E/4": Case("books", 1, 1, 1, "epochs/4", "sweep"),
         "books, 2 threads, lag E/2": Case("books", 1, 2, 1, "epochs/2", "sweep"),
         "books, 1 x 2, lag E/2": Case("books", 2, 1, 1, "epochs/2", "sweep"),
         "books, 2 x 1, lag E/4": Case("books", 2, 1, 2, "epochs/4", "sweep"),
         "books, 2 x 1, lag E/4, wavefront": Case("books", 2, 1, 2, "epochs/4", "wavefront"),
         "smol, 1 rank, lag E": Case("smol", 1, 1, 1, "epochs", "sweep"),
         "smol, 1 rank, lag E/2": Case("smol", 1, 1, 1, "epochs/2", "sweep"),
         "smol, 2 threads, lag E/4": Case("smol", 1, 2, 1, "epochs/4", "sweep"),
         "smol, 2 x 1, lag E/4": Case("smol", 2, 1, 2, "epochs/4", "sweep"),
         "smol, 2 x 1, lag E/4, wavefront": Case("smol", 2, 1, 2, "epochs/4", "wavefront")}


def read_words():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--program", default="build/bin/bitmill")
    add("--smol", help="the folder of SmolLM2-135M-Instruct")
    add("--cases", action="append", help="names or patterns; default: all")
    add("--repeats", type=int, default=5, help="of each row: measured anew, and run; medians count")
    add("--output", help="one JSON object a row; appended to")
    add("--table", action="store_true", help="print what the output holds, and stop")
    return parser.parse_args()


class Sitting:
    """One temporary folder, with the token files of the models."""

    def __init__(self, args, folder):
        self.program = os.path.abspath(args.program)
        self.folder = pathlib.Path(folder)
        self.models = {"books": str(ROOT / "tests/data/books-2M"), "smol": args.smol}

    def bitmill(self, ranks, *words):
        return on_ranks(ranks, self.program, *words)

    def tokens(self, model):
        """Reading a text is no part of the forecast."""
        path = self.folder / f"{model}.safetensors"
        if not path.exists():
            run(self.bitmill(1, "tokenize", "--model", self.models[model], "--corpus",
                             str(ROOT / "tests/data/books/calib.txt"), "--output", str(path)))
        return str(path)

    def calibrate(self, case):
        """What the machine gives at this moment to the ranks and threads of the case."""
        path = str(self.folder / "machine.cfg")
        run(self.bitmill(case.ranks, "plan", "--model", self.models[case.model], "--calibrate", "--save", path,
                         "--scratch-dir", str(self.folder), "--threads", str(case.threads),
                         *SETTINGS[case.model].split()))
        return path

    def settings(self, case):
        return ["--model", self.models[case.model], *SETTINGS[case.model].split(), "--lag", case.lag, "--threads",
                str(case.threads), "--stages", str(case.stages), "--walk", case.walk]

    def forecast_s(self, case):
        forecast = run(self.bitmill(1, "plan", "--json", "--ranks", str(case.ranks), "--hardware",
                                    self.calibrate(case), *self.settings(case)))
        return json.loads(forecast)["makespan_s"]

    def seconds(self, case):
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            command = self.bitmill(case.ranks, "quantize", "--json", "--calib", self.tokens(case.model),
                                   "--output-dir", os.path.join(folder, "packed"), *self.settings(case))
            begin = time.monotonic()
            run(command)
            return time.monotonic() - begin


def check(sitting, name, repeats):
    case = CASES[name]
    sitting.tokens(case.model)
    pairs = [(sitting.forecast_s(case), sitting.seconds(case)) for _ in range(repeats)]
    predicted, measured = zip(*pairs)
    return {"case": name, "predicted_s": round(statistics.median(predicted), 2),
            "measured_s": round(statistics.median(measured), 2),
            "all_s": [[round(one, 2) for one in pair] for pair in pairs]}


def table(rows):
    lines = ["| run | predicted, s | measured, s | predicted / measured | single pairs, s |",
             "| --- | --- | --- | --- | --- |"]
    for row in rows:
        single = ", ".join(f"{predicted:.1f} / {measured:.1f}" for predicted, measured in row["all_s"])
        lines.append(f"| {row['case']} | {row['predicted_s']:.1f} | {row['measured_s']:.1f} | "
                     f"{row['predicted_s'] / row['measured_s']:.2f} | {single} |")
    return "\n".join(lines)


def wanted(args, name):
    if CASES[name].model == "smol" and not args.smol:
        return False
    return args.cases is None or any(fnmatch.fnmatch(name, pattern) for pattern in args.cases)


def main():
    args = read_words()
    rows = []
    if args.table:
        rows = read_json_lines(args.output)
    else:
        with tempfile.TemporaryDirectory() as folder:
            sitting = Sitting(args, folder)
            for name in CASES:
                if not wanted(args, name):
                    continue
                rows.append(check(sitting, name, args.repeats))
                print(json.dumps(rows[-1]), file=sys.stderr)
                if args.output:
                    with open(args.output, "a", encoding="utf-8") as out:
                        out.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
