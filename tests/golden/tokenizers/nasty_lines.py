"""10,000 texts that tokenizers get wrong: the same for every caller, drawn from one seed."""
import random

WORDS = ("the of and Romance forest don't we'll I'M they'RE it's O'Neil naive caf\u00e9 cafe\u0301 stra\u00dfe "
         "\u0130stanbul \u017fense K\u212aelvin x86_64 foo_bar FooBar 3.14 1,000,000 0x7f 12345678901234567890 "
         "\u0661\u0662\u0663 \u0967\u0968 \u00bd \u2167 \u00b2 e=mc\u00b2").split()
SCRIPTS = ["\u6f22\u5b57\u4eee\u540d", "\u3072\u3089\u304c\u306a\u30ab\u30bf\u30ab\u30ca", "\ud55c\uad6d\uc5b4",
           "\u1112\u1161\u11ab\u1100\u116e\u11a8", "\u0e01\u0e33\u0e25\u0e31\u0e07", "\u0939\u093f\u0928\u094d\u0926\u0940",
           "\u0627\u0644\u0639\u064e\u0631\u0628\u0650\u064a\u064e\u0651\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea",
           "\u202b\u0645\u0631\u062d\u0628\u0627\u202c", "\u0411\u044a\u043b\u0433\u0430\u0440\u0441\u043a\u0438", "\u1780\u17b6\u1793\u17cb\u178f\u17c2",
           "C\u01b0\u0309a Vi\u00ea\u0323t", "\u0531\u0562\u0563", "\u10d0\u10d1\u10d2", "\U0001d518\U0001d52b\U0001d526", "\u2fa1\uf900\ufb01"]
EMOJI = ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea",
         "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001fae8", "\U0001fac6"]
MARKS = ["\u0301", "\u0327", "\u0345", "\u0308\u0304", "\u20dd", "\u0f71\u0f72", "\u3099", "\u1ab0\u1abf", "\u0898\u0301"]
SPACES = [" ", "  ", "    ", " " * 17, "\t", "\t\t", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", " \n ", "\u00a0",
          "\u3000", "\u2003\u2002", "\u180e", "\u200b", "\x85", "\u2028", "\u2029", "\ufeff", "\u1680"]
CONTROL = ["\x00", "\x01\x02", "\x07", "\x1b[31m", "\x7f", "\x0b", "\x0c", "\u0080", "\u009f", "\ufffd", "\ufffe",
           "\U0010ffff", "\ue000", "\u2060", "\u00ad"]
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<0x0A>", "<0x41>", "<|endoftext|>", "<|im_start|>", "<|im_end|>",
           "<|im_start|>user\n", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|im_", "|>", "<s",
           "<|reserved_special_token_7|>", "<mask>", "<sep>", "<both>", "plain word", "<word>", "\u2581", "\u2581\u2581", "\u0120"]
CODE = ["def f(x):\n    return x**2\n", "int main() {\n\treturn 0;\n}\n", "for(i=0;i<10;++i){a[i]+=1;}", "<div class=\"a\">&amp;</div>",
        "SELECT * FROM t WHERE a='b''c';", "\\frac{a}{b}", "#!/bin/sh\n", "http://a.b/c?d=e&f=%20", "{\"k\": [1, 2.5e-3, null]}",
        "if (a && b || !c) { }", "---\n+++ b\n@@ -1,2 +3,4 @@", "$x->{y}[0] =~ s/a/b/g;", "/* ***** */", "//////", "........", "!!!???"]
NEWER = ["\U00011f55", "\U00031355", "\ua7cb", "\U00011de3", "\u1c89", "\U0001e4f3", "\U00010d6e", "\U00016d6d", "\U0002ebf0"]


def any_character(rng):
    while True:
        code = rng.choice([rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x110000)])
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def run(rng):
    unit = rng.choice(["a", " ", "\n", "\t", "1", "!", "=", "-", "\u6f22", "ab", " x", "\r\n", "\u0301", "\u2581"])
    return unit * rng.choice([3, 7, 8, 9, 31, 64, 65, 200])


def mixed(rng):
    kinds = [WORDS, WORDS, SPACES, SPACES, SCRIPTS, EMOJI, MARKS, CONTROL, SPECIAL, CODE, NEWER]
    parts = []
    for _ in range(rng.randint(1, 14)):
        kind = rng.randrange(len(kinds) + 3)
        if kind < len(kinds):
            parts.append(rng.choice(kinds[kind]))
        elif kind == len(kinds):
            parts.append("".join(any_character(rng) for _ in range(rng.randint(1, 6))))
        elif kind == len(kinds) + 1:
            parts.append(run(rng))
        else:
            parts.append(" ".join(rng.choices(WORDS, k=rng.randint(2, 8))))
    return "".join(parts)


def nasty_lines(count=10000, seed=20261125):
    rng = random.Random(seed)
    lines = ["", " ", "\n", "\u0301", "\u2581", "<s>", " <s> ", "<|endoftext|>"]
    lines += ["".join(any_character(rng) for _ in range(40)) for _ in range(count // 20)]
    while len(lines) < count:
        lines.append(mixed(rng))
    rng.shuffle(lines)
    return lines[:count]
