#!/usr/bin/env python3
"""Compares bitmill's tokenizers with the packages on the 10,000 texts of nasty_lines.py, for every
tokenizer that is given (references.py), and prints a table. Ends with 1 on any difference.

    python3 compare.py build/bin/tokenizer_probe [NAME ...]
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from nasty_lines import nasty_lines
from references import GIVEN


def ours(probe, folder, files, lines):
    with tempfile.TemporaryDirectory() as alone:
        if files:  # what is preferred to them must not be there
            for name in files:
                shutil.copy(pathlib.Path(folder) / name, alone)
            folder = alone
        text = "".join(json.dumps(line) + "\n" for line in lines)
        out = subprocess.run([probe, "lines", str(folder)], input=text, capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"{folder}: {out.stderr}")
    return [json.loads(line) for line in out.stdout.split("\n") if line]


def theirs(reference, line):
    ids = reference.encode(line)
    return {"ids": ids, "special": reference.encode_special(line), "text": reference.decode(ids),
            "halves": reference.decode(ids[::2])}


def main():
    probe, names = sys.argv[1], sys.argv[2:] or list(GIVEN)
    lines = nasty_lines()
    different = 0
    print("| tokenizer | texts | tokens | texts with other ids | with other text |\n| --- | --- | --- | --- | --- |")
    for name in names:
        folder, files, make = GIVEN[name]
        reference = make(folder)
        bad_ids, bad_text, tokens = [], [], 0
        for line, mine in zip(lines, ours(probe, folder, files, lines), strict=True):
            other = theirs(reference, line)
            tokens += len(other["special"])
            if mine["ids"] != other["ids"] or mine["special"] != other["special"]:
                bad_ids.append((line, mine, other))
            elif mine["text"] != other["text"] or mine["halves"] != other["halves"]:
                bad_text.append((line, mine, other))
        print(f"| {name} | {len(lines):,} | {tokens:,} | {len(bad_ids)} | {len(bad_text)} |", flush=True)
        for line, mine, other in (bad_ids + bad_text)[:3]:
            print(f"{line!r}\n  ours   {mine}\n  theirs {other}", file=sys.stderr)
        different += len(bad_ids) + len(bad_text)
    sys.exit(1 if different else 0)


main()
