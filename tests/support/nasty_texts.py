"""Texts that tokenizers have got wrong: all kinds of blanks, digits, marks, emoji and control tokens."""

import random

_BLANKS = (
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\x0b",
    "\x85",
    "   \n ",
    "\u200b",
    "\ufeff",
)
_CONTRACTIONS = ("'s", "'LL", "'tis", "'Re", "\u2019s", "don't", "'\u017f")
_SCRIPTS = (
    "é", "e\u0301", "ﬁ", "ǅ", "İ", "ß", "Σς", "ー",
    "한국어", "中文", "العربية", "हिन्दी", "ไทย", "🙂", "👩‍👩‍👧",
    "\U0001f1e9\U0001f1ea",
    "½", "²", "Ⅷ", "٣", "१२",
)  # fmt: skip
_LOOKING_SPECIAL = ("<|im_start|>", "<|endoftext|>", "<s>", "</s>", "<0x0A>", "▁", "Ġ", "Ċ", "\x00", "\x1f")
_CODE = (
    "the quick", "def f(x):\n    return x", "HTTPServer", "camelCase", "snake_case", "$%^&*", "...", 
    "!!!\n\n",     "://www", "--", "/*",
)  # fmt: skip


def nasty_texts(count: int, seed: int = 0) -> list[str]:
    """Random compositions of these and of any code points."""
    return [_nasty_text(random.Random(f"{seed}/{index}")) for index in range(count)]


def _nasty_text(source: random.Random) -> str:
    return "".join(_part(source, source.randrange(12)) for _ in range(source.randrange(1, 25)))


def _part(source: random.Random, kind: int) -> str:
    match kind:
        case 0:
            return chr(source.randrange(32, 127))
        case 1:
            return source.choice(_BLANKS)
        case 2:
            ranges = ((0x80, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000))
            return chr(source.randrange(*source.choice(ranges)))
        case 3:
            return str(source.randrange(10 ** source.randrange(1, 9)))
        case 4:
            return source.choice(_CONTRACTIONS)
        case 5:
            return source.choice(_SCRIPTS)
        case 6:
            return source.choice(_LOOKING_SPECIAL)
        case 7:
            return source.choice(_CODE)
        case 8:
            return chr(source.randrange(0x300, 0x370))
        case 9:
            return " " * source.randrange(1, 20)
        case 10:
            return chr(source.randrange(0xA0, 0x600))
    return source.choice("abcXYZ") * source.randrange(1, 5)
