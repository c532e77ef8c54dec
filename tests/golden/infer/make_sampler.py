#!/usr/bin/env python3
"""Writes sampler.json: with which probabilities transformers draws the next token.

    python make_sampler.py           needs torch, transformers

"logits": those of tests/golden/models/llama-3 after "prompt_ids". "cases": settings of generate(),
and the probability of every token after all of its steps, in its order.
"""

import json
import pathlib

import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent / "models/llama-3"
PROMPT = [41, 60, 2, 13, 48, 31, 3, 17]
NEUTRAL = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
CASES = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.5},
    {"top_k": 5},
    {"temperature": 2.0, "top_p": 0.7},
    {"temperature": 2.0, "min_p": 0.2},
    {"temperature": 2.0, "repetition_penalty": 2.5},
    {"temperature": 2.0, "repetition_penalty": 0.5},
    {"temperature": 2.5, "top_k": 7, "top_p": 0.8},
    {"temperature": 3.0, "top_p": 0.9, "min_p": 0.25},
    {"temperature": 2.0, "top_k": 12, "top_p": 0.85, "min_p": 0.1, "repetition_penalty": 2.0},
]


def main():
    model = transformers.AutoModelForCausalLM.from_pretrained(
        MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.tensor([PROMPT])
    cases = []
    for changes in CASES:
        settings = NEUTRAL | changes
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True,
                             max_new_tokens=1, pad_token_id=0, output_scores=True,
                             output_logits=True, return_dict_in_generate=True, **settings)
        probabilities = out.scores[0][0].double().softmax(0).tolist()
        cases.append({"settings": settings, "probabilities": probabilities})
        print(settings, sum(p > 0 for p in probabilities), max(probabilities))
    result = {"transformers": transformers.__version__, "prompt_ids": PROMPT,
              "logits": out.logits[0][0].tolist(), "cases": cases}
    (HERE / "sampler.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
