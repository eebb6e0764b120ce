"""Byte strings that no compressor expects: by a fixed seed, so that everybody tries the same."""

import random
from collections.abc import Iterator

_TEXTS = (
    "The quick brown fox jumps over the lazy dog. ",
    "Straße, naïve, ﬁ, ½, İı, ǅ ",
    "文字を数える。字节。",
    "Байты, не буквы. ",
    "العربية ‏עברית ",
    "🙂👩‍👩‍👧\U0001f1e9\U0001f1ea",
    "e\u0301\u200b\u200d\ufeff",
    "<|endoftext|><s></s><0x0A>▁Ġ",
    "\r\n\t\x00\x1f\x85\u2028",
    "    def f(x):\n        return x\n",
    "0123456789" * 3,
    " " * 40,
    "\n" * 20,
    "a" * 50,
    "Zażółć gęślą jaźń ",
)
_BYTES = (
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\xaf",
    b"\xe2\x96",
    b"\x80",
    b"\xf0\x9f",
    bytes(range(256)),
)


def hostile_bytes(count: int, seed: int = 20) -> Iterator[bytes]:
    """Strings of up to about 300 bytes: texts, cut anywhere, bytes that are no UTF-8, noise, mixtures."""
    for number in range(count):
        source = random.Random(f"{seed}/{number}")
        parts = [_part(source) for _ in range(source.randrange(7))]
        yield b"".join(parts)[: source.choice([1, 7, 33, 100, 300])]


def _part(source: random.Random) -> bytes:
    kind = source.randrange(6)
    if kind < 3:
        text = source.choice(_TEXTS).encode()
        first = source.randrange(len(text))
        return text[first:] if kind else text[: first + 1]
    if kind == 3:
        return source.choice(_BYTES)
    if kind == 4:
        return source.randbytes(source.randrange(1, 40))
    return "".join(
        chr(source.choice([source.randrange(0xD800), source.randrange(0xE000, 0x110000)])) for _ in range(9)
    ).encode()
