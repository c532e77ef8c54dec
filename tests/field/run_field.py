#!/usr/bin/env python3
"""Runs one input of shared/field and judges what bitmill made of it.

    run_field.py NAME BITMILL SHARED

NAME is a folder of SHARED/field; its run.sh makes the input and shows what bitmill does with it.
The folder is copied first: nothing is written into SHARED. BITMILL_FIELD_PYTHON is a Python with
torch, transformers 5.24 and safetensors (README.md here says how to get one); by default the
python3 that runs this. Exits with 77, and says why, when something that the input needs is missing.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
PACKAGES = {"06-ignore-matches-nothing": [], "07-slurm-end-time-stale": [], "13-dev-shm-full": []}
ALL_PACKAGES = ["torch", "transformers", "safetensors", "jinja2"]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def numbers(pattern, output):
    return [float(found) for found in re.findall(pattern + r"\s+([0-9.]+)", output)]


def near(a, b):
    return abs(a / b - 1) < 1e-5


# Each judge returns what is wrong; nothing when all is right.


def refused(*words):
    """bitmill computes nothing, and its message has every one of the words."""
    def judge(output):
        wrong = [f"{word} is not named" for word in words if word not in output]
        if re.search(r"bitmill perplexity \d", output) or "quantize rc 0" in output:
            wrong.append("it was computed")
        return wrong
    return judge


def same_perplexities(output):
    """bitmill gives what transformers gives: for the model, and for the packed one and its export."""
    there = numbers("transformers perplexity", output)
    here = numbers(r"(?:bitmill perplexity|^perplexity)", output) or numbers("perplexity", output)
    if not there or len(here) != len(there):
        return [f"transformers gave {there}, bitmill {here}"]
    return [f"{a} here, {b} there" for a, b in zip(here, there) if not near(a, b)]


def one_perplexity(expected):
    """bitmill's one perplexity is the one behind the label `expected`."""
    def judge(output):
        there = numbers(expected, output)
        here = numbers("(?m)^perplexity", output)
        if len(there) == 1 and len(here) == 1 and near(there[0], here[0]):
            return []
        return [f"{expected} {there}, bitmill {here}"]
    return judge


def ignore(output):
    """A pattern that matches nothing is an error; none is passed over."""
    wrong = []
    for line in output.splitlines():
        found = re.match(r"--ignore '(.*?)': (.*)", line)
        if not found:
            continue
        pattern, answer = found.groups()
        if "error" not in answer and re.search(r"\b28 linears", answer):
            wrong.append(f"{pattern}: all 28 linears are packed, without a word")
        if pattern == "down_proj" and "error" in answer:
            wrong.append(f"{pattern}: refused")
    if "--ignore 'lm_head'" not in output:
        wrong.append("no line about lm_head")
    return wrong


def end_time(output):
    lines = [line for line in output.splitlines() if line.startswith("SLURM_JOB_END_TIME")]
    wrong = [f"75 where another start gets no further: {line}" for line in lines if "rc 75" in line]
    return wrong if len(lines) == 4 else wrong + [f"{len(lines)} lines about the end time"]


def templates(output):
    lists = dict(re.findall(r"^(model|packed|x) (.*)$", output, re.M))
    if len(lists) != 3 or "tool_use" not in lists["model"]:
        return [f"the templates of three folders were expected: {lists}"]
    return [f"{folder} has {lists[folder]}" for folder in ("packed", "x")
            if sorted(eval(lists[folder])) != sorted(eval(lists["model"]))]


def shared_memory(output):
    starts = re.findall(r"^start \d rc (\d+): (.*)$", output, re.M)
    fine = [rc == "0" or (rc == "1" and "/dev/shm" in last) for rc, last in starts]
    return [] if len(starts) == 2 and all(fine) else [f"starts ended with {starts}"]


def padded(output):
    truth = numbers("perplexity of the real tokens", output)
    here = re.findall(r'"perplexity": ?([0-9.]+)', output)
    if not here and "attention_mask" in output:
        return []
    if len(truth) == 1 and len(here) == 1 and near(truth[0], float(here[0])):
        return []
    return [f"of the real tokens {truth}, bitmill {here}"]


JUDGES = {
    "01-is-causal-false": refused('"is_causal" is false'),
    "02-tied-head-differs": same_perplexities,
    "04-model-type-contradicts": refused('"model_type" is "mistral"', '"model_type" is "gemma"'),
    "06-ignore-matches-nothing": ignore,
    "07-slurm-end-time-stale": end_time,
    "09-overlay-shard": one_perplexity(r"truth \(in memory\)"),
    "10-tied-only-head-stored": one_perplexity("transformers perplexity"),
    "11-chat-templates-in-a-folder": templates,
    "13-dev-shm-full": shared_memory,
    "15-padded-token-file": padded,
}


def find_python(name):
    python = os.environ.get("BITMILL_FIELD_PYTHON", sys.executable)
    for package in PACKAGES.get(name, ALL_PACKAGES):
        found = subprocess.run([python, "-c", f"import {package}"], capture_output=True)
        if found.returncode != 0:
            skip(f"{python} has no {package}; set BITMILL_FIELD_PYTHON (tests/field/README.md)")
    return python


def main():
    name, program, shared = sys.argv[1:]
    source = pathlib.Path(shared).resolve() / "field"
    if not (source / name).is_dir():
        skip(f"{source / name} is not here")
    if name == "13-dev-shm-full" and (os.geteuid() != 0 or not shutil.which("unshare")):
        skip("a private /dev/shm needs root and unshare")
    environment = dict(os.environ, PY=find_python(name), SHARED=str(source.parent),
                       BITMILL=str(pathlib.Path(program).resolve()))
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "field"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("input"))
        done = subprocess.run(["bash", str(copy / name / "run.sh")], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout)
    wrong = JUDGES[name](done.stdout)
    for sentence in wrong:
        print("WRONG:", sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
