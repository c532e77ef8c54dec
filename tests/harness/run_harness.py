#!/usr/bin/env python3
"""Lets lm-evaluation-harness score a model folder that `bitmill serve` serves.

    python run_harness.py --program build/bin/bitmill --model DIR --tasks DIR [--limit 200]

needs lm_eval[api]==0.4.13 (pip). --tasks: a folder with arc_easy.jsonl, piqa.jsonl,
winogrande.jsonl, lambada_openai.jsonl, as ../shared/tasks. Prints one JSON object: versions, limits
and scores. README.md says what came out.
"""

import argparse
import importlib.metadata
import json
import pathlib
import subprocess
import tempfile

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from lm_tasks import write_config

# The kind of each task's file.
TASKS = {"arc_easy": "cue", "piqa": "cue", "winogrande": "contexts",
         "lambada_openai": "continuation"}


def read_words():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tasks", required=True, type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=200, help="items of each task")
    parser.add_argument("--batch", type=int, default=8, help="texts of one request")
    parser.add_argument("--concurrent", type=int, default=4, help="requests at once")
    parser.add_argument("options", nargs="*", help="more options of serve, after --")
    return parser.parse_args()


def scores_of(address, said, words):
    with tempfile.TemporaryDirectory() as configs:
        for name, kind in TASKS.items():
            write_config(pathlib.Path(configs), f"served_{name}", kind,
                         (words.tasks / f"{name}.jsonl").resolve())
        # The harness keeps one position for the token that it asks for and does not read.
        arguments = {"model": said["model"], "base_url": f"{address}/v1/completions",
                     "tokenizer_backend": "remote", "num_concurrent": words.concurrent,
                     "max_length": said["context"] + 1}
        results = simple_evaluate(
            model="local-completions", model_args=arguments, batch_size=words.batch,
            tasks=[f"served_{name}" for name in TASKS], limit=words.limit,
            task_manager=TaskManager(include_path=configs, include_defaults=False),
            bootstrap_iters=0)
    return {name: {key.removesuffix(",none"): value
                   for key, value in results["results"][f"served_{name}"].items()
                   if isinstance(value, float) and "stderr" not in key} for name in TASKS}


def main():
    words = read_words()
    server = subprocess.Popen(
        [words.program, "serve", "--model", words.model, "--port", "0", "--json", *words.options],
        stdout=subprocess.PIPE, text=True)
    try:
        said = json.loads(server.stdout.readline())
        scores = scores_of(said["address"], said, words)
    finally:
        server.terminate()
        code = server.wait(60)
    if code != 0:
        raise SystemExit(f"bitmill serve ended with exit code {code}")
    version = subprocess.run([words.program, "--version"], capture_output=True, text=True,
                             check=True).stdout.splitlines()[0]
    print(json.dumps({"bitmill": version, "lm_eval": importlib.metadata.version("lm_eval"),
                      "model": said["model"], "kernel": said["kernel"],
                      "context": said["context"], "limit": words.limit, "scores": scores},
                     indent=1))


if __name__ == "__main__":
    main()
