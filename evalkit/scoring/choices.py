"""The choices that a document's text is to be told from: what else is scored for them, and what it cost.

Beside the text itself every other choice is scored after the same context, and each choice without one: what
it costs by itself is taken off in pointwise mutual information (Holtzman et al. 2021, arXiv:2104.08315, with
nothing in place of their domain's context, as lm-evaluation-harness has it in ``acc_mutual_info``).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.corpora.document import Document, make_document
from evalkit.scoring.documents import DocumentScore

_Part = tuple[str | None, str]
"""A context, and the text behind it."""


class ChoiceCosts(NamedTuple):
    """What the choices of one document cost, in their order."""

    bits: tuple[float, ...]
    """After its context."""
    alone_bits: tuple[float, ...] | None
    """Without any; None where the document has none."""
    num_bytes: tuple[int, ...]
    gold: int
    """Which of them is the document's text."""


def with_choices(documents: Sequence[Document]) -> tuple[Document, ...]:
    """The documents, and behind them what else is scored for their choices, each once."""
    if not any(document.choices for document in documents):
        return tuple(documents)
    places = _places(documents)
    further = list(places)[len(set(_gold_parts(documents))) :]
    return (
        *documents,
        *(
            make_document(text, source="choices", context=context, id=f"choice-{number}")
            for number, (context, text) in enumerate(further)
        ),
    )


def choice_costs(
    documents: Sequence[Document], scores: Sequence[DocumentScore]
) -> list[ChoiceCosts | None] | None:
    """What the choices of each document cost.

    Args:
        documents: of a corpus.
        scores: of `with_choices` of them, in its order.

    Returns:
        None for a document without choices, or with one that the model cannot represent; None for all where
        none has choices.
    """
    if not any(document.choices for document in documents):
        return None
    bits = {(score.document.context, score.document.text): score.total_bits for score in scores}
    return [_costs(document, bits) for document in documents]


def _costs(document: Document, bits: Mapping[_Part, float | None]) -> ChoiceCosts | None:
    if document.choices is None:
        return None
    costs = [bits[document.context, choice] for choice in document.choices]
    alone = [] if document.context is None else [bits[None, choice] for choice in document.choices]
    numbers = tuple(cost for cost in costs if cost is not None)
    alone_numbers = tuple(cost for cost in alone if cost is not None)
    if len(numbers) < len(costs) or len(alone_numbers) < len(alone):
        return None
    num_bytes = tuple(len(choice.encode("utf-8")) for choice in document.choices)
    return ChoiceCosts(numbers, alone_numbers or None, num_bytes, document.choices.index(document.text))


def _gold_parts(documents: Sequence[Document]) -> list[_Part]:
    return [(document.context, document.text) for document in documents]


def _places(documents: Sequence[Document]) -> dict[_Part, None]:
    """Everything that is scored, the documents first."""
    parts = dict.fromkeys(_gold_parts(documents))
    for document in documents:
        for choice in document.choices or ():
            parts[document.context, choice] = None
            parts[None, choice] = None
    return parts
