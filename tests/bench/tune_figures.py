#!/usr/bin/env python3
"""What `bitmill plan --job tune --learn-signs` says of models of published sizes: the memory of the
busiest rank and the state, with all signs at a time, in 16 bits, and some blocks at a time. The table
is in src/method/METHOD.md.

    tests/bench/tune_figures.py --program build/bin/bitmill
"""
import argparse
import json
import subprocess
import tempfile

from plan_figures import MODELS, gigabytes, write_config

# model, ranks, stages, blocks at a time
ROWS = (("LLaMA-2 7B", 8, 8, 8), ("LLaMA-2 7B", 8, 4, 8), ("LLaMA-2 7B", 8, 2, 8),
        ("LLaMA-2 70B", 64, 64, 40), ("LLaMA-2 70B", 64, 32, 27), ("LLaMA-2 70B", 64, 16, 16))


def forecast(program, folder, ranks, stages, *options):
    command = [program, "plan", "--json", "--job", "tune", "--learn-signs", "--model", folder, "--ranks", str(ranks),
               "--stages", str(stages), "--threads", "8", "--stream-memory", "4GB", *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def row(program, folder, model, ranks, stages, blocks):
    whole = forecast(program, folder, ranks, stages)
    half = forecast(program, folder, ranks, stages, "--sign-state", "16")
    some = forecast(program, folder, ranks, stages, "--sign-blocks", str(blocks))
    cells = [model, str(ranks), f"{stages} x {ranks // stages}", gigabytes(whole["peak_bytes"]),
             gigabytes(whole["state_bytes"]), gigabytes(half["state_bytes"]), f"{blocks}, {some['sign_groups']} groups",
             gigabytes(some["peak_bytes"]), gigabytes(some["state_bytes"])]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", default="build/bin/bitmill")
    program = parser.parse_args().program
    print("| model | ranks | stages x replicas | memory | state | state, `--sign-state 16` | `--sign-blocks` | memory "
          "| state |")
    print("| --- " * 9 + "|")
    for model, ranks, stages, blocks in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            write_config(folder, MODELS[model])
            print(row(program, folder, model, ranks, stages, blocks))


if __name__ == "__main__":
    main()
