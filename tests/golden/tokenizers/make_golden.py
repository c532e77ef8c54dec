#!/usr/bin/env python3
"""Writes the golden tokens of this folder with the `tokenizers` package (pip install tokenizers).

    python3 make_golden.py

- spm/tokenizer.json      SentencePiece style: no pre-tokenizer, byte_fallback with some bytes
                          missing (so that <unk> is needed and fused), a template with a BOS
- options/tokenizer.json  Digits + ByteLevel with a prefix space, ignore_merges, merges as strings,
                          added tokens with lstrip, rstrip and normalized, no template
- metaspace/tokenizer.json NFKC, a Metaspace pre-tokenizer that prefixes the first piece only, and
                          its decoder; byte_fallback with all bytes
- split/tokenizer.json    NFC, four Splits, single Digits, ByteLevel; single_word added tokens, an EOS
- NAME.jsonl              first the version of the package, then one object per text: the text, its
                          ids without and with special tokens, what decoding gives, with special
                          tokens kept; and decoding of every second id (broken characters), with
                          special tokens left out

books-2M.jsonl belongs to tests/data/books-2M/tokenizer.json.
"""
import json
import pathlib
import random

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

here = pathlib.Path(__file__).resolve().parent
data_folder = here.parents[1] / "data"
text = (data_folder / "books" / "calib.txt").read_text(encoding="utf-8")


def added(content, token_id, special=True, **flags):
    token = dict(id=token_id, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=special)
    return token | flags


def trained(tokenizer, vocab_size, alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=list(alphabet),
                                  show_progress=False)
    tokenizer.train_from_iterator(text[:30000].split("\n"), trainer)
    return json.loads(tokenizer.to_str())


def make_spm():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)])
    data = trained(tokenizer, 300)
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(0xF0)]
    names += sorted(data["model"]["vocab"], key=data["model"]["vocab"].get)
    data["model"] |= dict(vocab={name: i for i, name in enumerate(names)}, unk_token="<unk>",
                          fuse_unk=True, byte_fallback=True)
    data["added_tokens"] = [added("<unk>", 0), added("<s>", 1), added("</s>", 2)]
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return data


def make_options():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=False),
         pre_tokenizers.ByteLevel(add_prefix_space=True)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    data = trained(tokenizer, 420, alphabet)
    model = data["model"]
    # Whole words that no merge makes: only ignore_merges finds them.
    for word in ["\u0120xyzzy", "\u012042", "\u0120!?"]:
        model["vocab"][word] = len(model["vocab"])
    model["merges"] = [" ".join(pair) for pair in model["merges"]]
    next_id = len(model["vocab"])
    data["added_tokens"] = [
        added("<|im_start|>", next_id), added("<|im_start|>user", next_id + 1, special=False),
        added("<mask>", next_id + 2, lstrip=True), added("<sep>", next_id + 3, rstrip=True),
        added("<both>", next_id + 4, lstrip=True, rstrip=True),
        added("plain word", next_id + 5, special=False, normalized=True)]
    return data


def make_metaspace():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    data = trained(tokenizer, 300)
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(0x100)]
    names += sorted(data["model"]["vocab"], key=data["model"]["vocab"].get)
    data["model"] |= dict(vocab={name: i for i, name in enumerate(names)}, unk_token="<unk>",
                          fuse_unk=True, byte_fallback=True)
    data["added_tokens"] = [added("<unk>", 0), added("<s>", 1), added("</s>", 2)]
    return data


def make_split():
    def split(pattern, behavior, invert=False):
        return pre_tokenizers.Split(pattern, behavior, invert)

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split(Regex(r"[^\p{L}\p{M}\p{N}\s]+|\r?\n"), "isolated"), split(Regex(r"\p{Lu}(?=\p{Ll})"), "merged_with_next"),
         split("_", "merged_with_previous"), split(Regex(r"[\p{L}\p{M}]+"), "contiguous", True),
         pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    data = trained(tokenizer, 400, sorted(pre_tokenizers.ByteLevel.alphabet()))
    next_id = len(data["model"]["vocab"])
    data["added_tokens"] = [
        added("<|endoftext|>", next_id), added("<word>", next_id + 1, single_word=True),
        added("pad", next_id + 2, special=False, single_word=True, normalized=True, lstrip=True)]
    data["post_processor"] = {
        "type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            {"type": "TemplateProcessing",
             "single": [{"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
             "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [next_id],
                                                  "tokens": ["<|endoftext|>"]}}}]}
    return data


def texts():
    random.seed(7)
    result = ["", " ", "   ", "\n", "\t\n \r\n", "Hello world", " Hello  world ", "we'll DON'T I'm",
              "a" * 300, " " * 100 + "x", "1234567 42 xyzzy 42 !? a42b", "caf\u00e9 cafe\u0301"]
    parts = [" ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u2003", "\u180e", "\u200b", "\x85", "\ufeff",
             "\u2581", "the", "Romance", "don't", "'s", "42", "0", "\u00bd", "\u0663", "\u2167", "e\u0301",
             "\u00df", "\u6f22\u5b57", "\ud55c\uad6d\uc5b4", "\u0e01\u0e33\u0e25\u0e31\u0e07",
             "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0627\u0644\u0639\u0631\u0628", "\U0001f600",
             "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\u0301", "...",
             "#$%", "_", "{}", "\x00", "\x7f", "\U0001d518", "\U00011f55", "\U00031355", "\ua7cb",
             "\U00011de3", "\U0010ffff", "<s>", "</s>", "<unk>", "<0x41>", "<|im_start|>",
             "<|im_start|>user", "<|im_", "<mask>", "<sep>", "<both>", "plain word",
             "<word>", "pad", "x_y", "FooBar", "\ufb01", "\uff21", "\u1112\u1161\u11ab"]
    result += ["".join(random.choices(parts, k=random.randint(2, 16))) for _ in range(60)]
    result += text[100000:101500].split("\n")
    return result


def write(name, tokenizer):
    lines = [json.dumps({"tokenizers": tokenizers.__version__})]
    for sample in texts():
        ids = tokenizer.encode(sample, add_special_tokens=False).ids
        special = tokenizer.encode(sample).ids
        lines.append(json.dumps({
            "text": sample, "ids": ids, "special": special,
            "decoded": tokenizer.decode(special, skip_special_tokens=False),
            "decoded_halves": tokenizer.decode(ids[::2], skip_special_tokens=True)},
            ensure_ascii=False, separators=(",", ":")))
    (here / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


for name, make in [("spm", make_spm), ("options", make_options), ("metaspace", make_metaspace),
                   ("split", make_split)]:
    (here / name).mkdir(exist_ok=True)
    content = json.dumps(make(), ensure_ascii=False, separators=(",", ":")) + "\n"
    (here / name / "tokenizer.json").write_text(content, encoding="utf-8")
    write(name, Tokenizer.from_str(content))
write("books-2M", Tokenizer.from_file(str(data_folder / "books-2M" / "tokenizer.json")))
