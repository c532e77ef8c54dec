#!/usr/bin/env python3
"""The recipes side by side on one model: perplexity, divergence and top-1 agreement with the original
on several texts, time, memory. The table is in src/method/RECIPES.md.

    tests/bench/compare_recipes.py --program build/bin/bitmill --output build/search/books-compare.jsonl \\
        --model tests/data/books-2M --calib tests/data/books/calib.txt --text books=tests/data/books/eval.txt \\
        --windows '--samples 64 --seq-len 256' --row 'published=--recipe published' \\
        --row 'best=--recipe best' --tune '--lr 1e-2 --epochs 12'

--tune tunes what the last row made. Rows that the output holds already are not run again.
"""
import argparse
import json
import os
import shlex
import sys
import tempfile

from commands import read_json_lines, run_json


def read_words():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--program", default="build/bin/bitmill")
    add("--model", help="the original")
    add("--calib", help="calibration: a text, or windows as a token file")
    add("--text", action="append", default=[], metavar="NAME=FILE", help="to evaluate on")
    add("--windows", default="", help="options of quantize and tune that choose the windows")
    add("--row", action="append", default=[], metavar="NAME=OPTIONS", help="options of quantize")
    add("--tune", help="options of tune")
    add("--eval-len", default="256", help="tokens of a window of the evaluations")
    add("--max-windows", default="64", help="of each evaluation")
    add("--threads", default="1")
    add("--output", required=True, help="one JSON object a row; appended to")
    add("--table", action="store_true", help="print what the output holds, and stop")
    return parser.parse_args()


def pairs(words):
    return [word.split("=", 1) for word in words]


class Comparison:
    def __init__(self, args, folder):
        self.args = args
        self.folder = folder
        self.done = {row["row"] for row in read_json_lines(args.output)}

    def timed(self, command, *options):
        """What the command says as JSON, with its processor seconds."""
        before = os.times()
        result = run_json([self.args.program, command, "--json", "--threads", self.args.threads, *options])
        after = os.times()
        result["cpu_seconds"] = (after.children_user + after.children_system
                                 - before.children_user - before.children_system)
        return result

    def evaluate(self, model):
        texts = {}
        for name, file in pairs(self.args.text):
            reference = [] if model == self.args.model else ["--reference", self.args.model]
            found = run_json([self.args.program, "eval", "--json", "--model", model, "--corpus", file, *reference,
                              "--seq-len", self.args.eval_len, "--max-windows", self.args.max_windows,
                              "--threads", self.args.threads])
            texts[name] = {key: found[key] for key in ("perplexity", "kl", "top1") if key in found}
        return texts

    def keep(self, name, model, made):
        row = {"row": name, "texts": self.evaluate(model)}
        row.update({key: made[key] for key in ("cpu_seconds", "peak_memory_bytes", "bits_per_weight") if key in made})
        with open(self.args.output, "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        print(f"{name}: done", file=sys.stderr)

    def quantize(self, name, options):
        packed = os.path.join(self.folder, name)
        made = self.timed("quantize", "--model", self.args.model, "--calib", self.args.calib, "--output-dir", packed,
                          *shlex.split(self.args.windows), *shlex.split(options))
        if name not in self.done:
            self.keep(name, packed, made)

    def tune(self, name):
        tuned = os.path.join(self.folder, f"{name}, tuned")
        made = self.timed("tune", "--model", os.path.join(self.folder, name), "--reference", self.args.model,
                          "--calib", self.args.calib, "--output-dir", tuned, *shlex.split(self.args.windows),
                          *shlex.split(self.args.tune))
        self.keep(f"{name}, tuned", tuned, made)

    def run(self):
        if "original" not in self.done:
            self.keep("original", self.args.model, {})
        rows = pairs(self.args.row)
        last = rows[-1][0] if rows else None
        tunes = last and self.args.tune and f"{last}, tuned" not in self.done
        for name, options in rows:
            if name not in self.done or (tunes and name == last):
                self.quantize(name, options)
        if tunes:
            self.tune(last)


def table(rows):
    names = list(rows[0]["texts"]) if rows else []
    heads = ["row", "bits per weight", "CPU s", "peak memory"]
    for name in names:
        heads += [f"{name}", "KL", "top-1"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for row in rows:
        cells = [row["row"], f"{row['bits_per_weight']:.2f}" if "bits_per_weight" in row else "16",
                 f"{row['cpu_seconds']:.0f}" if "cpu_seconds" in row else "",
                 f"{row['peak_memory_bytes'] / 1e6:.0f} MB" if "peak_memory_bytes" in row else ""]
        for name in names:
            found = row["texts"][name]
            cells += [f"{found['perplexity']:.2f}", f"{found['kl']:.3f}" if "kl" in found else "",
                      f"{100 * found['top1']:.0f}%" if "top1" in found else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    args = read_words()
    if not args.table:
        os.makedirs(os.path.dirname(args.output) or ".", exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            Comparison(args, folder).run()
    print(table(read_json_lines(args.output)))


if __name__ == "__main__":
    main()
