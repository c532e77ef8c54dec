"""What the packages say: ids and texts of every tokenizer that is given, by name.

    pip install tokenizers sentencepiece tiktoken transformers

A reference has encode(text) -> ids, encode_special(text) -> ids with BOS and EOS, decode(ids) -> text
without special tokens.
"""
import base64
import pathlib
import re

root = pathlib.Path(__file__).resolve().parents[3]
here = pathlib.Path(__file__).resolve().parent
shared = root.parent / "shared"


class Tokenizers:
    """A tokenizer.json, by the `tokenizers` package."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_special(self, text):
        return self.tokenizer.encode(text).ids

    def decode(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=True)


class SentencePiece:
    """A tokenizer.model, by the `sentencepiece` package; special pieces are found in the text."""

    def __init__(self, path):
        import sentencepiece
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.special = {self.model.id_to_piece(i): i for i in range(self.model.get_piece_size())
                        if self.model.is_control(i) or self.model.is_unknown(i)}
        self.special_ids = set(self.special.values())
        self.cut = re.compile("(" + "|".join(map(re.escape, self.special)) + ")")

    def encode(self, text):
        ids = []
        for part in self.cut.split(text):
            ids += [self.special[part]] if part in self.special else self.model.encode(part)
        return ids

    def encode_special(self, text):
        return [self.model.bos_id()] + self.encode(text)

    def decode(self, ids):
        return self.model.decode([i for i in ids if i not in self.special_ids])


class Tiktoken:
    """LLaMA-3's tokenizer.model, by the `tiktoken` package."""

    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
               r"\s*[\r\n]+|\s+(?!\S)|\s+")

    def __init__(self, path):
        import tiktoken
        lines = path.read_bytes().splitlines()
        ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
        names = ["<|begin_of_text|>", "<|end_of_text|>"]
        names += [f"<|reserved_special_token_{i}|>" for i in range(4)]
        names += ["<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>"]
        names += [f"<|reserved_special_token_{i}|>" for i in range(5, 251)]
        self.special = {name: len(ranks) + i for i, name in enumerate(names)}
        self.special_ids = set(self.special.values())
        self.encoding = tiktoken.Encoding("llama3", pat_str=self.pattern, mergeable_ranks=ranks,
                                          special_tokens=self.special)

    def encode(self, text):
        return self.encoding.encode(text, allowed_special="all")

    def encode_special(self, text):
        return [self.special["<|begin_of_text|>"]] + self.encode(text)

    def decode(self, ids):
        return self.encoding.decode([i for i in ids if i not in self.special_ids])


def from_json(path):
    from tokenizers import Tokenizer
    return Tokenizers(Tokenizer.from_file(str(path)))


def from_vocab_and_merges(folder):
    from transformers import AutoTokenizer
    return Tokenizers(AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer)


# name: (folder for bitmill, files of it to use or None for all, reference)
GIVEN = {
    "books-2M": (root / "tests/data/books-2M", None, lambda f: from_json(f / "tokenizer.json")),
    "spm": (here / "spm", None, lambda f: from_json(f / "tokenizer.json")),
    "options": (here / "options", None, lambda f: from_json(f / "tokenizer.json")),
    "metaspace": (here / "metaspace", None, lambda f: from_json(f / "tokenizer.json")),
    "split": (here / "split", None, lambda f: from_json(f / "tokenizer.json")),
    "stories260K": (shared / "models/stories260K", None, lambda f: from_json(f / "tokenizer.json")),
    "llama2-json": (shared / "tokenizers/llama2", ["tokenizer.json"], lambda f: from_json(f / "tokenizer.json")),
    "llama2-model": (shared / "tokenizers/llama2", ["tokenizer.model"], lambda f: SentencePiece(f / "tokenizer.model")),
    "llama3": (shared / "tokenizers/llama3", None, lambda f: Tiktoken(f / "tokenizer.model")),
    "qwen2": (shared / "tokenizers/qwen2", None, from_vocab_and_merges),
}
