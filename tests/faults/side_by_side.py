"""Runs the tests of a script side by side, each in a process of its own: they mostly wait."""

import concurrent.futures
import subprocess
import sys
import time
import unittest


def names_of(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from names_of(entry)
        else:
            yield entry.id().removeprefix("__main__.")


def carry_out(words, name):
    began = time.monotonic()
    done = subprocess.run([sys.executable, *words, name], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    print(f"{done.stdout.strip()}\n{name}: {time.monotonic() - began:.1f} s\n", flush=True)
    return done.returncode == 0


def main(at_once, *words):
    """`at_once` tests of the calling script at a time; `words` are its own, before names of tests.
    Where the command line has names, only these, in this process."""
    if len(sys.argv) > 1:
        unittest.main(module="__main__", verbosity=2)
    names = list(names_of(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])))
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        passed = list(pool.map(lambda name: carry_out([sys.argv[0], *words], name), names))
    failed = [name for name, ok in zip(names, passed) if not ok]
    print(f"{len(names)} tests, {len(failed)} failed", *failed, sep="\n  ")
    sys.exit(0 if names and not failed else 1)
