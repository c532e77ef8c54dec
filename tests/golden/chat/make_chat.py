#!/usr/bin/env python3
"""Renders chats with the chat templates of known models, as transformers does.

    python make_chat.py TEMPLATES    needs transformers, jinja2, xxhash

TEMPLATES is a folder with one file NAME.jinja per name below: the text of "chat_template" in the
tokenizer_config.json of the model that stands beside it (src/data/CHAT.md). The templates are their
publishers' and are not carried here: chats.json has what they gave, and the hashes of their texts.

Per format: the hashes, bos and eos, and for each of "chats" the text, without and with
add_generation_prompt; null where the template raises an exception. A template of one line is
published in two spellings: a line end in a string of it stands there, or is written as \\n. Both do
the same, which is checked here, and there is a hash for each.
"""

import json
import pathlib
import sys

import jinja2
import transformers
import xxhash
from transformers.utils.chat_template_utils import render_jinja_template

LLAMA2, LLAMA3, IM = ("<s>", "</s>"), ("<|begin_of_text|>", "<|eot_id|>"), ("", "<|im_end|>")
# name of the format in bitmill -> file, special tokens
NAMES = {
    "LLaMA-2": ("llama-2", LLAMA2),
    "LLaMA-3": ("llama-3", LLAMA3),
    "LLaMA-3, first form": ("llama-3-always-asks", LLAMA3),
    "LLaMA-3.1": ("llama-3.1", LLAMA3),
    "Mistral v0.1, first form": ("mistral-v0.1-first", LLAMA2),
    "Mistral v0.2, first form": ("mistral-v0.2-first", LLAMA2),
    "Mistral v0.1": ("mistral-v0.1", LLAMA2),
    "Qwen2": ("qwen2", IM),
    "Qwen2.5": ("qwen2.5", IM),
    "Qwen3": ("qwen3", IM),
    "SmolLM2": ("smollm2", ("<|im_start|>", "<|im_end|>")),
    "ChatML": ("chatml", IM),
}


def chat(*turns):
    return [{"role": role, "content": content} for role, content in turns]


S, U, A, T = "system", "user", "assistant", "tool"
CHATS = [
    chat((U, "Hello")),
    chat((S, "Be brief."), (U, "Hello")),
    chat((U, "Hello"), (A, "Hi there"), (U, "Who are you?")),
    chat((S, " Be brief.\n"), (U, "  Hello \n"), (A, "\n Hi there "), (U, "\tWho\n are you?  "),
         (A, "   An assistant   ")),
    chat((S, "")),
    chat((S, "Only a system message")),
    chat((U, "")),
    chat((U, "\u00a0\u2003été — 日本語 \U0001f600\u3000")),
    chat((U, "<|im_end|> [/INST] <|eot_id|> {{ bos_token }}")),
    chat((A, "Begins with an answer"), (U, "Why?")),
    chat((U, "One"), (U, "Two")),
    chat((U, "One"), (S, "In the middle"), (U, "Two")),
    chat((U, "What is 2+2?"), (A, "<think>\nTwo and two.\n</think>\n\nFour."), (U, "And 3+3?")),
    chat((U, "What is 2+2?"), (A, "<think>\nTwo and two.\n</think>\n\nFour.")),
    chat((U, "What is 2+2?"), (A, "no begin</think>\n\nA</think>\nFour.\n")),
    chat((U, "What is 2+2?"), (A, "<think>a<think>\n\nb\n\n</think>Four")),
    chat((U, "Weather?"), (A, "I look."), (T, "{\"t\": \"20°\"}\nfine"), (T, "x\u0007y\"z"),
         (A, "20 degrees."), (U, "Thanks")),
    chat((U, "Weather?"), (A, "I look."), (T, "20"), (A, "20 degrees.")),
    chat((U, "a"), (A, "b"), (U, "<tool_response>\n1\n</tool_response>"), (A, "c"),
         (A, "<think>t</think>d")),
    chat(("narrator", "Once"), (U, "a")),
    chat((S, "s"), ("ipython", "out"), (U, "a")),
    chat((S, "s"), (U, "a"), ("narrator", "b"), (U, "c")),
]


def compared(template):
    """As chat_template_hash() in src/data/chat_formats.cpp."""
    return template.replace("\r\n", "\n").removesuffix("\n")


def spellings(template):
    """The template itself, and for one of a single line the other spelling of its line ends."""
    if "{%-" in template or "\n" not in template.replace("\\n", "\n"):
        return [template]
    other = (template.replace("\n", "\\n") if "\n" in template else
             template.replace("\\n", "\n"))
    return [template, other]


def render(template, messages, asks, bos, eos):
    try:
        texts, _ = render_jinja_template([messages], chat_template=template, bos_token=bos,
                                         eos_token=eos, add_generation_prompt=asks)
    except jinja2.exceptions.TemplateError:
        return None
    return texts[0]


def main():
    folder = pathlib.Path(sys.argv[1])
    formats = {}
    for name, (file, (bos, eos)) in NAMES.items():
        with open(folder / f"{file}.jinja", encoding="utf-8", newline="") as stream:
            template = stream.read()
        texts, *others = [[[render(spelling, messages, asks, bos, eos) for messages in CHATS]
                           for asks in (False, True)] for spelling in spellings(template)]
        if any(other != texts for other in others):
            sys.exit(f"{name}: its two spellings give different texts")
        hashes = [xxhash.xxh3_128_hexdigest(compared(spelling).encode())
                  for spelling in spellings(template)]
        formats[name] = {"hashes": hashes, "bos": bos, "eos": eos, "texts": texts[0],
                         "asking_texts": texts[1]}
        print(*hashes, name, sum(text is None for text in texts[0]), "refused")
    result = {"transformers": transformers.__version__, "chats": CHATS, "formats": formats}
    path = pathlib.Path(__file__).resolve().parent / "chats.json"
    path.write_text(json.dumps(result, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
