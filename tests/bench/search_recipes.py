#!/usr/bin/env python3
"""The search behind configs/recipes/best.cfg: quantizes a model once per row of ROWS, which changes
one thing at a time, and evaluates each result on three texts, because what fits the calibration text
best need not hold elsewhere. The table it makes is in src/method/RECIPES.md.

    tests/bench/search_recipes.py --program build/bin/bitmill --output build/search/books.jsonl \
        --model tests/data/books-2M --calib tests/data/books/calib.txt \
        --same tests/data/books/eval.txt --other OTHER.txt [--rows 'rate*'] [--samples 64]

Rows that the output holds already are not run again; --table prints it as a table. Runs take turns:
one process, one thread, so that times can be compared.
"""
import argparse
import fnmatch
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from commands import read_json_lines, run_json

# What every row of ours departs from: the settings of the prototype's best run.
BASE = {"epochs": "10", "batch": "8", "lr-scale": "4e-3", "lr-gain": "8e-3", "int4-range": "salient",
        "int4-clip": "", "center": "", "learn-signs": ""}
# A step for every window, at the published rates of scales and gains.
ONE_BY_ONE = {"batch": "1", "lr_scale": "5e-4", "lr_gain": "1e-3"}
# Four at a time, rates times four; and everything learned that can be.
FOUR = {"batch": "4", "lr_scale": "2e-3", "lr_gain": "4e-3"}
MEANS = {"learn_means": "", "learn_code_scales": ""}


def base(**changes):
    """BASE with options set, or left out where the value is None."""
    row = {**BASE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return {name: value for name, value in row.items() if value is not None}


ROWS = {
    "published": {"recipe": "published", "epochs": "10"},
    "parallel": {"recipe": "parallel", "epochs": "10", "lag": "epochs"},
    "scales only": base(learn_signs=None, lr_schedule="cosine"),
    "scales only, cd": base(learn_signs=None, lr_schedule="cosine", init="cd"),
    "signs": base(),
    "rate 1e-2": base(lr_sign="1e-2"),
    "rate 1e-1": base(lr_sign="1e-1"),
    "normal target only": base(loss_homologous="0"),
    "normal 1, homologous 1/4": base(loss_homologous="0.25"),
    "homologous target only": base(loss_normal="0"),
    "relative error": base(loss="relative"),
    "range of the row": base(int4_range=None, int4_clip=None),
    "no clipping": base(int4_clip=None),
    "not centred": base(center=None),
    "constant rates": base(lr_schedule="constant"),
    "batch 4": base(**FOUR),
    "batch 16": base(batch="16", lr_scale="8e-3", lr_gain="1.6e-2"),
    "scale rates / 4": base(lr_scale="1e-3", lr_gain="2e-3"),
    "5 epochs": base(epochs="5"),
    "20 epochs": base(epochs="20"),
    "means learned": base(learn_means=""),
    "means, 4-bit scales learned": base(**MEANS),
    "cd first": base(init="cd"),
    "half the windows": base(windows="half"),
    "windows half as long": base(windows="short"),
    "a mix of two texts": base(windows="mix"),
    "lag E/2": base(lag="epochs/2"),
    "lag E/4": base(epochs="8", lag="epochs/4"),
    "lag E, 8 epochs": base(epochs="8"),
    "lag 1": base(lag="1"),
    "16-bit state": base(sign_state="16"),
    "float16 streams": base(stream_dtype="float16"),
    "bfloat16 streams": base(stream_dtype="bfloat16"),
    "published, float16 streams": {"recipe": "published", "epochs": "10", "stream-dtype": "float16"},
    "published, bfloat16 streams": {"recipe": "published", "epochs": "10", "stream-dtype": "bfloat16"},
    "normal only, 20 epochs": base(loss_homologous="0", epochs="20"),
    "batch 2": base(batch="2", lr_scale="1e-3", lr_gain="2e-3"),
    "batch 1": base(**ONE_BY_ONE),
    "batch 1, normal only": base(**ONE_BY_ONE, loss_homologous="0"),
    "batch 1, relative": base(**ONE_BY_ONE, loss="relative"),
    "batch 1, sign rate 1e-2": base(**ONE_BY_ONE, lr_sign="1e-2"),
    "batch 1, sign rate 1e-1": base(**ONE_BY_ONE, lr_sign="1e-1"),
    "batch 1, rates x 4": base(batch="1", lr_scale="2e-3", lr_gain="4e-3"),
    "batch 1, means": base(**ONE_BY_ONE, **MEANS),
    "batch 1, 20 epochs": base(**ONE_BY_ONE, epochs="20"),
    "batch 1, normal only, 20 epochs": base(**ONE_BY_ONE, loss_homologous="0", epochs="20"),
    "batch 1, 5 epochs": base(**ONE_BY_ONE, epochs="5"),
    "batch 1, normal only, means": base(**ONE_BY_ONE, loss_homologous="0", **MEANS),
    "batch 1, normal only, means, 20 epochs": base(**ONE_BY_ONE, loss_homologous="0", **MEANS, epochs="20"),
    "batch 1, normal only, means, cd": base(**ONE_BY_ONE, loss_homologous="0", **MEANS, init="cd"),
    "batch 1, normal only, means, sign rate 1e-1": base(**ONE_BY_ONE, loss_homologous="0", **MEANS, lr_sign="1e-1"),
    "batch 1, normal only, means, rates x 4": base(batch="1", lr_scale="2e-3", lr_gain="4e-3",
                                                   loss_homologous="0", **MEANS),
    "batch 1, homologous 1/4, means": base(**ONE_BY_ONE, loss_homologous="0.25", **MEANS),
    "batch 1, means, rates x 4": base(batch="1", lr_scale="2e-3", lr_gain="4e-3", **MEANS),
    "batch 1, means, relative": base(**ONE_BY_ONE, **MEANS, loss="relative"),
    "batch 1, mix": base(**ONE_BY_ONE, windows="mix"),
    "batch 1, lag E/2": base(**ONE_BY_ONE, lag="epochs/2"),
    "batch 1, lag 1": base(**ONE_BY_ONE, lag="1"),
    "batch 4, means": base(**FOUR, **MEANS),
    "batch 4, means, cd": base(**FOUR, **MEANS, init="cd"),
    "batch 4, means, 20 epochs": base(**FOUR, **MEANS, epochs="20"),
    "batch 4, means, mix": base(**FOUR, **MEANS, windows="mix"),
    "batch 4, means, lag E/2": base(**FOUR, **MEANS, lag="epochs/2"),
    "batch 4, homologous 1/4, means": base(**FOUR, loss_homologous="0.25", **MEANS),
    "batch 4, homologous 1/4, means, 20 epochs": base(**FOUR, loss_homologous="0.25", **MEANS, epochs="20"),
    "batch 4, normal only, means": base(**FOUR, loss_homologous="0", **MEANS),
    "batch 4, normal only, means, mix": base(**FOUR, loss_homologous="0", **MEANS, windows="mix"),
    "batch 4, relative, cd": base(**FOUR, loss="relative", init="cd"),
    "batch 1, relative, cd": base(**ONE_BY_ONE, loss="relative", init="cd"),
    "batch 4, relative, cd, 20 epochs": base(**FOUR, loss="relative",
                                             init="cd", epochs="20"),
    "batch 4, relative, cd, mix": base(**FOUR, loss="relative", init="cd",
                                       windows="mix"),
}


def read_words(about):
    parser = argparse.ArgumentParser(description=about.split("\n\n")[0])
    add = parser.add_argument
    add("--program", default="build/bin/bitmill")
    add("--model", help="the original")
    add("--calib", help="calibration: a text, or windows as a token file")
    add("--same", help="text of the same kind that the calibration does not come from")
    add("--other", help="text of another kind")
    add("--mix", help="for the row with two texts: the second (half of each)")
    add("--samples", type=int, default=64)
    add("--seq-len", type=int, default=256)
    add("--epochs", help="for every row, in the place of its own")
    add("--eval-len", type=int, help="tokens of a window of the evaluations; default: --seq-len")
    add("--max-windows", type=int, default=64, help="of each evaluation")
    add("--rows", action="append", help="names or patterns; default: all")
    add("--output", required=True, help="one JSON object a row; appended to")
    add("--table", action="store_true", help="print what the output holds, and stop")
    return parser.parse_args()


def calibration(args, kind, folder):
    """The options that choose the windows: fewer, shorter, or half of each of two texts."""
    samples, seq_len, calib = args.samples, args.seq_len, args.calib
    if kind == "half":
        samples //= 2
    if kind == "short":
        seq_len //= 2
    if kind == "mix":
        texts = [pathlib.Path(path).read_text(encoding="utf-8") for path in args.mix.split(",")]
        length = min(map(len, texts))
        calib = str(pathlib.Path(folder) / "mix.txt")
        pathlib.Path(calib).write_text("\n\n".join(text[:length] for text in texts), encoding="utf-8")
    return ["--calib", calib, "--samples", str(samples), "--seq-len", str(seq_len)]


def perplexity(args, model, corpus):
    if corpus is None:
        return None
    return run_json([args.program, "eval", "--json", "--model", model, "--corpus", corpus,
                     "--seq-len", str(args.eval_len or args.seq_len), "--max-windows", str(args.max_windows),
                     "--threads", "1"])["perplexity"]


def measure(args, name, settings):
    """One row of the output."""
    settings = {**settings, "epochs": args.epochs} if args.epochs else dict(settings)
    with tempfile.TemporaryDirectory() as folder:
        options = calibration(args, settings.pop("windows", None), folder)
        for option, value in settings.items():
            options += [f"--{option}"] + ([value] if value else [])
        packed = os.path.join(folder, "packed")
        cpu = os.times()
        result = run_json([args.program, "quantize", "--json", "--model", args.model, "--output-dir",
                           packed, "--threads", "1", *options])
        after = os.times()
        row = {"row": name, "options": " ".join(options), "seconds": result["seconds"],
               "cpu_seconds": round(after.children_user + after.children_system - cpu.children_user -
                                    cpu.children_system, 2),
               "bits_per_weight": result["bits_per_weight"]}
        for text in ("calib", "same", "other"):
            row[text] = perplexity(args, packed, getattr(args, text))
        shutil.rmtree(packed)
    return row


def table(rows):
    def figure(value):
        return "" if value is None else f"{value:.2f}"

    lines = ["| row | CPU s | calibration text | same kind | another kind |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [row["row"], f"{row['cpu_seconds']:.0f}", *(figure(row[text]) for text in ("calib", "same", "other"))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run_rows(args, rows):
    """Those of rows (name -> settings) that are wanted and not in the output yet."""
    done = {row["row"] for row in read_json_lines(args.output)}
    os.makedirs(os.path.dirname(args.output) or ".", exist_ok=True)
    for name, settings in rows.items():
        wanted = args.rows is None or any(fnmatch.fnmatch(name, pattern) for pattern in args.rows)
        if name in done or not wanted:
            continue
        if settings.get("windows") == "mix" and args.mix is None:
            continue
        begin = time.monotonic()
        row = measure(args, name, settings)
        with open(args.output, "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        print(f"{name}: {row['same']:.2f} in {time.monotonic() - begin:.0f} s", file=sys.stderr)


def main():
    args = read_words(__doc__)
    if not args.table:
        run_rows(args, ROWS)
    print(table(read_json_lines(args.output)))


if __name__ == "__main__":
    main()
