#!/usr/bin/env python3
"""Writes nasty.jsonl and nasty.json: for the first 400 of nasty_lines.py's texts, the FNV-1a hash of
what the packages make of each (see references.py for them), for every tokenizer that is given.

    python3 make_nasty.py

What is hashed: the ids; the ids with special tokens; the text of the ids; the text of every second
id (broken characters); special tokens left out of both. compare.py compares all 10,000.
"""
import json
import pathlib

from nasty_lines import nasty_lines
from references import GIVEN

here = pathlib.Path(__file__).resolve().parent


def fnv(data, state=0x811C9DC5):
    for byte in data:
        state = (state ^ byte) * 0x01000193 & 0xFFFFFFFF
    return "%08x" % state


def record(reference, text):
    ids = reference.encode(text)
    numbers = " ".join(map(str, ids)) + "\n" + " ".join(map(str, reference.encode_special(text)))
    return numbers + "\n" + reference.decode(ids) + "\n" + reference.decode(ids[::2])


def main():
    lines = nasty_lines()[:400]
    hashes = {}
    for name, (folder, files, make) in GIVEN.items():
        reference = make(folder)
        hashes[name] = "".join(fnv(record(reference, line).encode("utf-8", "replace")) for line in lines)
    (here / "nasty.json").write_text(json.dumps(hashes, indent=1) + "\n")
    text = "\n".join(json.dumps(line) for line in lines) + "\n"
    (here / "nasty.jsonl").write_text(text)


if __name__ == "__main__":
    main()
