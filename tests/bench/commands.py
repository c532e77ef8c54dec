"""What the scripts of this folder share: bitmill's commands, and files of a JSON object a line."""

import json
import pathlib
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(command):
    """Its standard output. Ends the script with the command's own words when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def run_json(command):
    return json.loads(run(command))


def on_ranks(ranks, program, *words):
    """A command line of bitmill, under the launcher where there are several ranks."""
    launcher = [str(ROOT / "launch/bitmill-mpirun"), "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, program, *words]


def read_json_lines(path):
    """Nothing where there is no such file."""
    path = pathlib.Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]
