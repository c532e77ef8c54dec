#!/usr/bin/env python3
"""Speed of encoding beside the packages (pip install tokenizers sentencepiece tiktoken transformers),
one thread each, in turn within a round; a figure is the median over rounds.

    tests/bench/speed_tokenizer.py build/bin/tokenizer_probe TEXT [--rounds 5] [NAME ...]

The whole text at once, and line by line. What a reference is, golden/tokenizers/references.py says.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden/tokenizers"))
from references import GIVEN  # noqa: E402


def seconds(work):
    begin = time.process_time()
    work()
    return time.process_time() - begin


def measure(probe, name, path, rounds):
    folder, files, make = GIVEN[name]
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    runs = {"whole_s": [], "lines_s": []}
    theirs = {"whole_s": [], "lines_s": []}
    with tempfile.TemporaryDirectory() as alone:
        for file in files or []:
            shutil.copy(folder / file, alone)
        for _ in range(rounds):
            command = [probe, "speed", alone if files else str(folder), str(path), "1"]
            out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for key, values in runs.items():
                values += out[key]
            reference = make(folder)
            theirs["whole_s"].append(seconds(lambda: reference.encode(text)))
            reference = make(folder)
            theirs["lines_s"].append(seconds(lambda: [reference.encode(line) for line in lines]))
    row = [name, f"{out['tokens']:,}"]
    for key in runs:
        mine, other = statistics.median(runs[key]), statistics.median(theirs[key])
        row += [f"{mine:.3f}", f"{other:.3f}", f"{other / mine:.2f}"]
    print("| " + " | ".join(row) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("probe")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print("| tokenizer | tokens | bitmill, whole text, s | package, s | times as fast | bitmill, lines, s | package, s | times as fast |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in args.names or GIVEN:
        measure(args.probe, name, args.text, args.rounds)


main()
