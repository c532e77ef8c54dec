#!/usr/bin/env python3
"""Runs test programs on a machine with a GPU, each once: to start a process for every test would load
libtorch's CUDA and make a context every time. A test may be skipped for want of a model or of more
GPUs. Any other skip is a failure here: where the GPU cannot be used, nearly all tests are skipped. The
last line is for launch/gpu-check.sh.

    tests/gpu/run_tests.py [--filter PATTERN] PROGRAM...
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

# What the tests say when they lack a model or a GPU more.
EXPECTED = re.compile(r"GPUs are needed, and there are \d+$|^no .* on this machine$|^.* is not here$")


def run(program, pattern):
    """(names of those that passed, {name: reason} of those that were skipped). Raises for a failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        subprocess.run([program, "--gtest_brief=1", f"--gtest_filter={pattern}",
                        f"--gtest_output=xml:{report}"], check=True)
        passed, skipped = [], {}
        for case in xml.parse(report).iter("testcase"):
            if case.get("status") != "run":
                continue
            name = f"{case.get('classname')}.{case.get('name')}"
            skip = case.find("skipped")
            if skip is None:
                passed.append(name)
            else:  # the first line is the place of the source
                skipped[name] = skip.get("message").partition("\n")[2].strip()
        return passed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--filter", default="*")
    parser.add_argument("programs", nargs="+")
    args = parser.parse_args()
    passed, skipped = [], {}
    for program in args.programs:
        try:
            more_passed, more_skipped = run(program, args.filter)
        except subprocess.CalledProcessError as error:
            sys.exit(f"{program} ended with {error.returncode}")
        passed += more_passed
        skipped.update(more_skipped)
    for name, reason in skipped.items():
        print(f"skipped: {name}: {reason}")
    if strange := [name for name, reason in skipped.items() if not EXPECTED.search(reason)]:
        sys.exit(f"{len(strange)} tests were skipped for another reason than a model or a second GPU, "
                 f"{strange[0]} first: {skipped[strange[0]]}")
    if not passed:
        sys.exit(f"no test ran of {', '.join(args.programs)} with --filter {args.filter}")
    print(f"{len(passed)} tests passed, {len(skipped)} skipped for want of a model or of GPUs")


if __name__ == "__main__":
    main()
