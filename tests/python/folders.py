"""Packed folders and their exports for the tests, made once per process with the program itself."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import tempfile

from safetensors.torch import load_file, save_file

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src/python"
GOLDEN = REPOSITORY / "tests/golden/models"
BOOKS = REPOSITORY / "tests/data/books-2M"
BOOKS_TEXT = REPOSITORY / "tests/data/books"
PROGRAM = os.environ.get("BITMILL_PROGRAM", str(REPOSITORY / "build/bin/bitmill"))
WINDOW = 12  # tokens; the golden models have few positions

_scratch = tempfile.TemporaryDirectory(prefix="bitmill-python-")
SCRATCH = pathlib.Path(_scratch.name)


def bitmill(*command: object) -> str:
    """Standard output of the program; its own words when it fails."""
    done = subprocess.run([PROGRAM, *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"bitmill {command[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def golden_windows(name: str) -> pathlib.Path:
    """The input of a golden model as a token file of windows."""
    path = SCRATCH / f"{name}.ids.safetensors"
    if not path.exists():
        ids = load_file(GOLDEN / f"{name}.golden.safetensors")["input_ids"]
        windows = ids[: len(ids) // WINDOW * WINDOW].view(-1, WINDOW).contiguous()
        save_file({"input_ids": windows}, path)
    return path


@functools.cache
def packed(name: str) -> pathlib.Path:
    """books-2M, or a model of tests/golden/models: packed in a second or two."""
    folder = SCRATCH / name
    if name == "books-2M":
        calib = ("--calib", BOOKS_TEXT / "calib.txt", "--samples", 8, "--seq-len", 64)
        bitmill("quantize", "--model", BOOKS, "--output-dir", folder, *calib, "--epochs", 2)
    else:
        rates = ("--lr-scale", 1e-2, "--lr-gain", 1e-2)
        bitmill("quantize", "--model", GOLDEN / name, "--output-dir", folder, "--calib",
                golden_windows(name), "--epochs", 2, *rates)
    return folder


@functools.cache
def exported(name: str, dtype: str) -> pathlib.Path:
    folder = SCRATCH / f"{name}-{dtype}"
    bitmill("export", "--model", packed(name), "--output-dir", folder, "--dtype", dtype)
    return folder
