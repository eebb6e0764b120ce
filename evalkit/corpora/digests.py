"""Digests of what is scored: of a document, and of a corpus's documents in their order."""

import hashlib
from collections.abc import Iterable, Sequence

_FRAMED = b"\xff"
"""Begins what is digested of a document with a context: no UTF-8 text does."""
_LENGTH_BYTES = 8


def document_sha256(text: str, context: str | None = None, choices: Sequence[str] | None = None) -> str:
    """The digest of a document: of its text's UTF-8 bytes, where it is nothing but a text.

    Else of the byte 0xFF, then of the context, the text and each choice, every one of them after its length
    in bytes (8 bytes, the highest first). No two documents that differ in a part have the same bytes.

    Raises:
        UnicodeEncodeError: a part holds a lone surrogate and so has no UTF-8 form.
    """
    data = text.encode("utf-8")
    if context is None and choices is None:
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(_FRAMED)
    for part in (
        (context or "").encode("utf-8"),
        data,
        *(choice.encode("utf-8") for choice in choices or ()),
    ):
        digest.update(len(part).to_bytes(_LENGTH_BYTES, "big") + part)
    return digest.hexdigest()


def context_cluster(context: str | None) -> str | None:
    """The cluster of all documents that have one context; None where there is none.

    Raises:
        UnicodeEncodeError: it has no UTF-8 form.
    """
    return None if context is None else f"context-{hashlib.sha256(context.encode('utf-8')).hexdigest()[:16]}"


def texts_sha256(documents: Iterable[tuple[str, str]]) -> str:
    """The digest of a corpus's ids and texts' digests in their order; see `evalkit.corpora.document`."""
    lines = "".join(f"{document_id} {sha256}\n" for document_id, sha256 in documents)
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()
