"""The normal form of texts: one sequence of characters for what reads the same."""

import unicodedata

_AROUND = "".join(filter(str.isspace, map(chr, range(1 << 16)))) + "\ufeff"


def normal_text(text: str) -> str:
    r"""A text in Unicode NFC, with ``\n`` as line end and nothing around it.

    The time grows with the square of the number of marks on one letter: foreign texts come here in the child
    process that extracts them first, and again at no cost.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text.strip(_AROUND))


def word_set(text: str) -> frozenset[str]:
    """The words of a text, once each."""
    return frozenset(text.split())
