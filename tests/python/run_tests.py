#!/usr/bin/env python3
"""Runs one file of these tests with a Python that has torch and transformers.

    run_tests.py NAME BITMILL [LIBRARY]

That Python is BITMILL_FIELD_PYTHON, or the one that `launch/setup.sh --with-transformers` made.
Exits with 77, and says why, when there is none. LIBRARY is the build's libbitmill.so; without one
the tests of it are skipped.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ("torch", "transformers", "safetensors")


def find_python() -> str:
    given = os.environ.get("BITMILL_FIELD_PYTHON")
    if given:
        return given
    setup = [str(HERE.parents[1] / "launch/setup.sh"), "--print-python"]
    done = subprocess.run(setup, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"skipped: {done.stderr.strip()}")
        sys.exit(SKIPPED)
    return done.stdout.strip()


def main() -> int:
    name, program, library = (*sys.argv[1:], "")[:3]
    python = find_python()
    code = "; ".join(f"import {package}" for package in PACKAGES)
    found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if found.returncode != 0:
        print(f"skipped: {python} lacks one of {PACKAGES}: {found.stderr.strip().splitlines()[-1]}")
        return SKIPPED
    environment = {**os.environ, "BITMILL_PROGRAM": program, "HF_HUB_OFFLINE": "1",
                   "PYTHONDONTWRITEBYTECODE": "1", "BITMILL_LIBRARY": library}
    command = [python, "-m", "unittest", "--verbose", name]
    return subprocess.run(command, cwd=HERE, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
