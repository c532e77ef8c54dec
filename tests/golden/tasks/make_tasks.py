#!/usr/bin/env python3
"""Makes small tasks of public-domain text, and scores them with lm-evaluation-harness.

    python make_tasks.py [FOLDER_OF_STORIES260K]    needs lm_eval==0.4.13, torch, transformers

choices.jsonl, contexts.jsonl, continuation.jsonl: the tasks, from tests/data/books/eval.txt.
scores.json: for books-2M, and for the model of the argument, what lm_eval's "hf" model gives in
float32, one text at a time: the log likelihood and greedy match of every pair, and the scores of
each task. "cue": choices with "\\nAnswer:" between query and answers.
"""

import json
import pathlib
import random
import re
import sys
import tempfile

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
import transformers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "harness"))
from lm_tasks import KINDS, write_config  # noqa: E402

DATA = HERE.parents[1] / "data"
ITEMS = 24


def sentences():
    text = (DATA / "books/eval.txt").read_text()
    text = re.sub(r"\s+", " ", text)
    found = [s.strip() for s in re.split(r"(?<=[.!?])\s", text)]
    return [s for s in found if 12 <= len(s.split()) <= 30]


def write_lines(name, lines):
    with open(HERE / f"{name}.jsonl", "w") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_tasks():
    draw = random.Random(7)
    pool = draw.sample(sentences(), 10 * ITEMS)
    cut = [(" ".join(s.split()[:8]), " ".join(s.split()[8:])) for s in pool]
    choices, contexts, continuation = [], [], []
    for i in range(ITEMS):
        group = cut[10 * i:10 * i + 10]
        gold = draw.randrange(4)
        answers = [end for _, end in group[1:5]]
        answers[gold] = group[0][1]
        # Characters are not bytes: acc_norm divides by the first.
        if i % 3 == 0:
            answers[(gold + 1) % 4] = "\u201c" + answers[(gold + 1) % 4] + "\u201d \u2014 \u00e9t\u00e9"
        # White space at the end of a query goes over to the answer.
        query = group[0][0] + ["", "\n", "  ", "\u00a0"][i % 4]
        choices.append({"query": query, "choices": answers[:2 + i % 3] if gold < 2 else answers,
                        "gold": gold})
        gold = i % 2
        options = [group[5][0], group[6][0]]
        contexts.append({"context_options": options, "continuation": group[5 + gold][1],
                         "gold": gold})
        context = " ".join(s + " " + e for s, e in group[7:9]).split()
        continuation.append({"context": " ".join(context[:-1]), "continuation": context[-1]})
    # Longer than the models' contexts; and the end of a phrase that small models know by heart.
    long = " ".join(s + " " + e for s, e in cut)
    continuation.append({"context": long[:6000].rsplit(" ", 1)[0], "continuation": "the"})
    continuation.append({"context": "He looked at her for a moment, and then he said: I do not",
                         "continuation": "know"})
    continuation.append({"context": "One day, a little girl named Lily went to the",
                         "continuation": "park"})
    for name, lines in (("choices", choices), ("contexts", contexts),
                        ("continuation", continuation)):
        write_lines(name, lines)


def task_scores(model, manager, name):
    task = f"bitmill_{name}"
    result = lm_eval.simple_evaluate(model=model, tasks=[task], task_manager=manager,
                                     log_samples=True, bootstrap_iters=1000, batch_size=1)
    scores = {key.removesuffix(",none"): value for key, value in result["results"][task].items()
              if key.endswith(",none") and isinstance(value, float)}
    samples = sorted(result["samples"][task], key=lambda sample: sample["doc_id"])
    pairs = [flat_pairs(sample["resps"]) for sample in samples]
    return {"scores": scores, "pairs": pairs}


def flat_pairs(responses):
    """[log likelihood, greedy] of every pair of an item."""
    pairs = []
    for response in responses:
        answer = response[0] if isinstance(response[0], (list, tuple)) else response
        pairs.append([float(answer[0]), str(answer[1]) == "True"])
    return pairs


def model_scores(folder):
    with tempfile.TemporaryDirectory() as configs:
        for name in KINDS:
            file = HERE / ("choices.jsonl" if name == "cue" else f"{name}.jsonl")
            write_config(pathlib.Path(configs), f"bitmill_{name}", name, file)
        manager = TaskManager(include_path=configs, include_defaults=False)
        model = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=1)
        return {name: task_scores(model, manager, name) for name in KINDS}


def main():
    write_tasks()
    scores = {"lm_eval": lm_eval.__version__, "transformers": transformers.__version__,
              "books-2M": model_scores(DATA / "books-2M")}
    for folder in sys.argv[1:]:
        scores[pathlib.Path(folder).name] = model_scores(folder)
    with open(HERE / "scores.json", "w") as file:
        json.dump(scores, file)
        file.write("\n")


if __name__ == "__main__":
    main()
