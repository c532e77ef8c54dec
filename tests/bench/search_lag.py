#!/usr/bin/env python3
"""What the parallelism of recipe `parallel` costs in quality: perplexity against batch, lag and
learning rate, with the same windows and epochs in every row. The tables of
src/schedule/PLANNING.md are made of its rows; options and output are those of search_recipes.py.

    tests/bench/search_lag.py --program build/bin/bitmill --output build/search/lag.jsonl \\
        --model tests/data/books-2M --calib tests/data/books/calib.txt --same tests/data/books/eval.txt \\
        [--rows '8 | * | 8'] [--epochs 4, with --table too]
"""
import search_recipes as search
from commands import read_json_lines, run_json

EPOCHS = 8  # without --epochs; a multiple of 4
LAGS = {"E": 1, "E/2": 2, "E/4": 4}  # turns; and one of every epoch
# Batch, and what the rates of `published` are multiplied with: not at all, by the root of the
# batch, by half of it, by all of it, by half as much again.
RATES = [(1, 1), (1, 2), (4, 2), (4, 4), (8, 2.8), (8, 4), (8, 8), (8, 12)]
USEFUL_RANKS = 256


def rows(args):
    epochs = int(args.epochs or EPOCHS)
    if epochs % 4:
        raise SystemExit(f"--epochs {epochs}: expected a multiple of 4, for lag E/4")
    lags = {name: epochs // turns for name, turns in LAGS.items()}
    if epochs > 4:
        lags["1"] = 1
    return {f"{batch} | {name} | {factor}": {"epochs": str(epochs), "batch": str(batch), "lag": str(lag),
                                             "lr-scale": f"{5e-4 * factor:g}", "lr-gain": f"{1e-3 * factor:g}"}
            for batch, factor in RATES for name, lag in lags.items()}


def forecast(args, row, ranks):
    command = [args.program, "plan", "--json", "--model", args.model, "--ranks", str(ranks), "--samples",
               str(args.samples), "--seq-len", str(args.seq_len)]
    for option, value in rows(args)[row].items():
        command += [f"--{option}", value]
    return run_json(command)


def table(args):
    lines = ["| batch | lag | rates times | perplexity | CPU s | extra work | ranks | speed-up on them |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in read_json_lines(args.output):
        alone, many = forecast(args, row["row"], 1), forecast(args, row["row"], USEFUL_RANKS)
        ranks = many["stages"] * many["replicas"]
        speed_up = alone["makespan_s"] / many["makespan_s"]
        lines.append(f"| {row['row']} | {row['same']:.2f} | {row['cpu_seconds']:.0f} | "
                     f"{100 * (many['work_of_lag'] - 1):.0f}% | {ranks} | {speed_up:.1f} |")
    return "\n".join(lines)


def main():
    args = search.read_words(__doc__)
    if not args.table:
        search.run_rows(args, rows(args))
    print(table(args))


if __name__ == "__main__":
    main()
