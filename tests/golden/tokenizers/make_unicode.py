#!/usr/bin/env python3
"""Writes unicode.json and splits.jsonl with the `tokenizers` package (pip install tokenizers).

    python3 make_unicode.py

- unicode.json   of every class, and of every normal form, the CRC-32 over all code points: of a
                 class the members, as "%X "; of a form what becomes of each character c as
                 "a" c U+0301 U+0327 c
- splits.jsonl   the pieces into which Split cuts texts, for expressions, behaviors and invert
"""
import json
import pathlib
import zlib

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

here = pathlib.Path(__file__).resolve().parent
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = "L Lu Ll Lt Lm Lo M Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So".split()
EXPRESSIONS = [
    r"\s+", r"\S", r"[^\S\n]+", r"[\S\n]", r"\d{1,3}", r"\D+", r"\p{^Lu}+", r"\P{L}", r"(?i:'s|'t|'re|k)", r"x*", r"", r"$", r"^",
    r"^.", r".$", r".+", r"(?<=a)b|c(?!d)", r"(?<!a)b", r"a??b*+|c{2,}|d{,2}", r"[^(\s|[.,!?\u2026\u3002])]+", r"[-+a-c\-\]]+", r"\x41|\u6f22|\x{1F600}", r"(ab)+|(?>a+)b",
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
TEXTS = ["", " ", "abc", "Hello, World's\r\n\r\n 123 x_y", "a\nb\n", "\n\na", "aXXbxcd cc ccc ddd", "don't KK \u212aelvin 'S '\u017f", "A\u6f22\U0001f600\u3002 \u2026!?(|)",
         "CamelCaseWORD caf\u00e9 e\u0301\u0301 \u0939\u093f\u0928\u094d", "  \t x \u00a0 \u3000 \u180e y  ", "-+a]b\\c[d]^", "abab aab ab", "\u0661\u0662 12345 \u2167 \U00011f55\U0001e4f3"]
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


def members(pre_tokenizer):
    """The code points that it leaves when the rest is removed."""
    found = set()
    for begin in range(0, len(POINTS), 8192):
        text = "".join(map(chr, POINTS[begin:begin + 8192]))
        for piece, _ in pre_tokenizer.pre_tokenize_str(text):
            found.update(map(ord, piece))
    return sorted(found)


def numeric():
    digits = pre_tokenizers.Digits(individual_digits=True)
    return [c for c in POINTS if len(digits.pre_tokenize_str("a" + chr(c))) == 2]


def word_characters():
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    tokenizer.add_tokens([AddedToken("<w>", single_word=True, normalized=False)])
    return [c for c in POINTS if tokenizer.encode(chr(c) + "<w>").ids[-1:] != [1]]


def hash_members(codes):
    return "%08x" % zlib.crc32("".join("%X " % c for c in codes).encode())


def hash_form(form):
    state = 0
    for c in POINTS[1:]:
        state = zlib.crc32(form.normalize_str("a%s\u0301\u0327%s" % (chr(c), chr(c))).encode(), state)
    return "%08x" % state


def write_unicode():
    classes = {"\\p{%s}" % name: hash_members(members(pre_tokenizers.Split(Regex(r"\p{%s}" % name), "removed", True)))
               for name in CATEGORIES}
    classes["\\s"] = hash_members(members(pre_tokenizers.Split(Regex(r"\s"), "removed", True)))
    classes["numeric"] = hash_members(numeric())
    classes["word"] = hash_members(word_characters())
    forms = {name: hash_form(getattr(normalizers, name)()) for name in ["NFC", "NFD", "NFKC", "NFKD"]}
    (here / "unicode.json").write_text(json.dumps({"classes": classes, "forms": forms}, indent=1) + "\n")


def write_splits():
    lines = []
    for expression in EXPRESSIONS:
        for text in TEXTS:
            for invert in [False, True]:
                pieces = {}
                for behavior in BEHAVIORS:
                    split = pre_tokenizers.Split(Regex(expression), behavior, invert)
                    pieces[behavior] = [piece for piece, _ in split.pre_tokenize_str(text)]
                lines.append(json.dumps({"expression": expression, "text": text, "invert": invert, "pieces": pieces},
                                        ensure_ascii=False, separators=(",", ":")))
    (here / "splits.jsonl").write_text("\n".join(lines) + "\n")


write_splits()
write_unicode()
