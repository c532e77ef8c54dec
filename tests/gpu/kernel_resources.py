#!/usr/bin/env python3
"""Prints what nvcc gives each kernel (registers, shared memory, stack, spills); a spill fails.

    kernel_resources.py [--expect-spill] COMPILER FLAG... -- SOURCE...

Compiles every source for itself, as the build does, with -Xptxas -v added. With --expect-spill the
exit status is 0 if every source has a kernel that spills, so that a test can show that one is found.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def ptxas_report(command, source):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "-Xptxas", "-v", "-c", source, "-o", f"{folder}/kernel.o"],
            capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{source} does not compile:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def readable(name):
    """The kernel's own name with its template arguments."""
    try:
        name = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return name
    name = name.strip().replace("(anonymous namespace)::", "")
    name = name[:name.rfind("(")] if name.endswith(")") else name
    name = re.sub(r"^void ", "", name)
    return re.sub(r"\b\w+::(?=[\w:]*\w+(<|$))", "", name)


def kernels_of(report):
    """(name, architecture, registers, shared, stack, spilled) of each kernel; sizes in bytes."""
    found = ENTRY.split(report)[1:]
    kernels = []
    for name, architecture, text in zip(found[0::3], found[1::3], found[2::3]):
        stack, used, shared = STACK.search(text), USED.search(text), SHARED.search(text)
        if stack is None or used is None:
            sys.exit(f"ptxas says nothing of {name} that this script understands:\n{text}")
        kernels.append((readable(name), architecture, int(used[1]), int(shared[1]) if shared else 0,
                        int(stack[1]), int(stack[2]) + int(stack[3])))
    return kernels


def main(arguments):
    expect_spill = arguments[:1] == ["--expect-spill"]
    arguments = arguments[1:] if expect_spill else arguments
    split = arguments.index("--")
    command, sources = arguments[:split], arguments[split + 1:]
    if not sources:
        sys.exit("no sources are given")
    line = "{:<44} {:>6} {:>9} {:>12} {:>11} {:>12}"
    print(line.format("kernel", "arch", "registers", "shared bytes", "stack bytes", "spill bytes"))
    as_expected = True
    for source in sources:
        kernels = kernels_of(ptxas_report(command, source))
        if not kernels:
            sys.exit(f"{source} has no kernel")
        for kernel in kernels:
            print(line.format(*kernel))
        spills = [kernel[0] for kernel in kernels if kernel[5] > 0]
        for name in spills:
            print(f"{pathlib.Path(source).name}: {name} spills registers: smaller tiles, or fewer "
                  "values alive at a time")
        as_expected = as_expected and bool(spills) == expect_spill
    return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
