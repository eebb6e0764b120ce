"""The same texts behind contexts of several lengths: how far back does a model use what it has read?

Of every document that is long enough the end is paid for, behind all that stands before it and behind the
last bytes of that: a corpus for each length, of the same documents in the same order. What a length changes
is then paired, document by document, and no model's context or tokenizer decides what is compared.
"""

import dataclasses
from collections.abc import Sequence

from evalkit.corpora.document import Corpus, Document, make_corpus, make_document
from evalkit.errors import UsageError

PAID_BYTES = 1024
"""What is paid for of a document without a context of its own: its end."""
CUT_OF, CUT_OF_SHA256, CUT_BYTES = "cut_of", "cut_of_sha256", "cut_context_bytes"
"""In the provenance of such a corpus: of which it is made, and how long its contexts are."""
WHOLE = "whole"
"""For a length: all that stands before."""


def cut_contexts(corpus: Corpus, lengths: Sequence[int]) -> list[Corpus]:
    """A corpus for each length of contexts, and one with whole contexts.

    Args:
        corpus: its documents end in what is paid for: those with a context of their own whole, others in
            their last `PAID_BYTES`. Documents with less before that than the longest length are left out and
            counted.
        lengths: bytes of context, increasing; 0: none.

    Raises:
        UsageError: a corpus's document is not long enough.
    """
    pieces = [(document, _split(document)) for document in corpus.documents]
    long = [(document, before, text) for document, (before, text) in pieces if len(before) >= lengths[-1]]
    if not long:
        longest = max((len(before) for _, (before, _) in pieces), default=0)
        raise UsageError(
            f"corpus {corpus.name}: no document has {lengths[-1]:,} bytes before what is paid for (the most "
            f"is {longest:,}); give shorter contexts, or a corpus of longer texts"
        )
    num_short = len(pieces) - len(long)
    return [
        make_corpus(
            f"{corpus.name}+context-{WHOLE if length is None else length}",
            [_cut(document, before, text, length) for document, before, text in long],
            description=f"{corpus.name}, its ends behind {'all' if length is None else length} bytes",
            date_from=corpus.date_from,
            date_to=corpus.date_to,
            provenance={
                **corpus.manifest.provenance,
                CUT_OF: corpus.name,
                CUT_OF_SHA256: corpus.sha256,
                CUT_BYTES: WHOLE if length is None else str(length),
            },
            num_dropped={"shorter than the longest context": num_short} if num_short else {},
        )
        for length in (*lengths, None)
    ]


def _split(document: Document) -> tuple[bytes, bytes]:
    """What stands before what is paid for, and that."""
    if document.context is not None:
        return document.context.encode("utf-8"), document.data
    data = document.data
    start = max(0, len(data) - PAID_BYTES)
    while start < len(data) and _is_inside(data[start]):
        start += 1
    return data[:start], data[start:]


def _cut(document: Document, before: bytes, text: bytes, length: int | None) -> Document:
    start = 0 if length is None else len(before) - length
    while start < len(before) and _is_inside(before[start]):  # a character that is cut is no context
        start += 1
    cut = make_document(text.decode("utf-8"), source=document.source, context=before[start:].decode("utf-8"))
    return dataclasses.replace(
        document,
        text=cut.text,
        context=cut.context,
        choices=None,
        num_bytes=cut.num_bytes,
        sha256=cut.sha256,
        cluster=document.cluster or document.id,
    )


def _is_inside(byte: int) -> bool:
    """Whether a byte of UTF-8 is not the first of its character."""
    return byte & 0xC0 == 0x80
