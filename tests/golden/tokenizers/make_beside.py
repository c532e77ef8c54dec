#!/usr/bin/env python3
"""Writes beside.jsonl: what the files beside a tokenizer.json change, by transformers.

    python make_beside.py          needs transformers

One case a line: its name, the files beside the tokenizer.json of tests/data/books-2M, a text, and
its ids without special tokens around it. "ids" is null where two files contradict each other:
transformers goes by tokenizer.json there, and bitmill refuses.
"""

import json
import pathlib
import shutil
import tempfile

import transformers

HERE = pathlib.Path(__file__).resolve().parent
BOOKS = HERE.parents[1] / "data/books-2M"
TEXT = "a the <X> b<Y> </s> the cat<s>"
CLASS = {"tokenizer_class": "PreTrainedTokenizerFast"}


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False,
            "single_word": False, "special": True} | flags


def config(**more):
    return {"tokenizer_config.json": CLASS | more}


def decoder(**by_id):
    return {"added_tokens_decoder": {key.removeprefix("id"): value for key, value in by_id.items()}}


CASES = {
    "NothingBeside": {},
    "ANamedSpecialToken": config(eos_token="<X>"),
    "APadToken": config(pad_token="<X>"),
    "ATokenOfTheDecoder": config(**decoder(id2048=token("<X>"))),
    "ATokenOfTheDecoderThatTheVocabularyHas": config(**decoder(id989=token("the", special=False))),
    "OtherFlagsInTheDecoder": config(**decoder(id1=token("</s>", lstrip=True))),
    "AnAddedTokensFile": config() | {"added_tokens.json": {"<X>": 2048}},
    "AnAddedTokensFileByIds": config() | {"added_tokens.json": {"<Y>": 2049, "<X>": 2048}},
    "AnAddedTokensFileThatTheDecoderHides":
        config(**decoder(id2048=token("<Y>"))) | {"added_tokens.json": {"<X>": 2048}},
    "ASpecialTokensMap": config() | {"special_tokens_map.json": {"eos_token": "<X>"}},
    "ASpecialTokensMapWithObjects":
        config() | {"special_tokens_map.json": {"eos_token": token("<X>", lstrip=True)}},
    "ASpecialTokensMapThatTheDecoderHides":
        config(**decoder(id2048=token("<Y>"))) | {"special_tokens_map.json": {"eos_token": "<X>"}},
    "TheMapWinsOverTheConfig":
        config(eos_token="<Y>") | {"special_tokens_map.json": {"eos_token": "<X>"}},
    "FurtherTokensOfTheMap":
        config() | {"special_tokens_map.json": {"additional_special_tokens": ["<X>", "<Y>"]}},
    "FurtherTokens": config(additional_special_tokens=["<Y>", "<X>"]),
    "FurtherTokensUnderTheNewerKey": config(extra_special_tokens=["<X>"]),
    "FurtherTokensByName": config(extra_special_tokens={"image_token": "<X>"}),
    "ATokenOfTheModelsOwn": config(image_token="<X>", pad_token="<Y>"),
    "NamedAfterAddedTokens": config(eos_token="<Y>") | {"added_tokens.json": {"<X>": 2048}},
    "TheFilesAlone": {"added_tokens.json": {"<X>": 2048},
                      "special_tokens_map.json": {"unk_token": "<Y>"}},
}
REFUSED = {
    "AnIdThatIsNotTheNextFreeOne": config(**decoder(id3000=token("<X>"))),
    "AnIdOfTheFileThatIsNotTheNextFreeOne": config() | {"added_tokens.json": {"<X>": 2050}},
    "AnotherIdThanTokenizerJsonHas": config(**decoder(id2=token("</s>"))),
}


def ids_of(files):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copy(BOOKS / "tokenizer.json", folder)
        shutil.copy(BOOKS / "config.json", folder)
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return tokenizer(TEXT, add_special_tokens=False)["input_ids"]


def main():
    lines = [{"name": name, "files": files, "text": TEXT, "ids": ids_of(files)}
             for name, files in CASES.items()]
    lines += [{"name": name, "files": files, "text": TEXT, "ids": None}
              for name, files in REFUSED.items()]
    (HERE / "beside.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
