"""The choices of a question as public data sets have them, and which of them is the right one.

Texts are lists of texts, ARC's pair of lists (``text``, ``label``), TruthfulQA's (``choices``, ``labels``, of
which one is 1), or lists of objects with a ``text``, a ``label`` or a mark of the right one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.corpora.readers import type_name
from evalkit.errors import CorpusError

CHOICES_COLUMN = "choices"
_MARKS = ("gold", "correct", "is_correct")
"""What an object may call its being the right one."""
_NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)


class Choices(NamedTuple):
    """The choices of a question."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """What the right one may be named by; empty: they have none."""
    marked: int | None = None
    """The place of the one that is marked as right; None: none is."""


def read_choices(place: str, value: object, *, may_be_empty: bool = False) -> Choices:
    """The choices of a row.

    Args:
        place: where the row stands, for messages.
        value: of its column of choices.
        may_be_empty: whether a choice may be the empty text.

    Raises:
        CorpusError: it is no list of two texts or more, or several are marked as right.
    """
    texts, labels, marks = _parts(value)
    if (
        not isinstance(texts, list | tuple)
        or not isinstance(labels, list | tuple)
        or not all(isinstance(text, str) and (text or may_be_empty) for text in texts)
    ):
        raise CorpusError(f"{place}: {CHOICES_COLUMN!r} is {_described(value)}, not a list of texts")
    if len(texts) < 2:
        raise CorpusError(f"{place}: {CHOICES_COLUMN!r} has {len(texts)}; at least two are needed to choose")
    if len(labels) not in (0, len(texts)):
        raise CorpusError(f"{place}: {CHOICES_COLUMN!r} has {len(texts)} texts and {len(labels)} labels")
    marked = [number for number, mark in enumerate(marks) if mark]
    if len(marked) > 1:
        raise CorpusError(f"{place}: {len(marked)} choices are marked as right, and one is needed")
    return Choices(tuple(texts), tuple(map(_name, labels)), marked[0] if marked else None)


def _parts(value: object) -> tuple[object, object, Sequence[object]]:
    """Texts, labels and marks."""
    if isinstance(value, Mapping) and {"text", "label"} <= value.keys():
        return value["text"], value["label"], ()
    if isinstance(value, Mapping) and {"choices", "labels"} <= value.keys():
        labels = value["labels"]
        is_marked = isinstance(labels, list | tuple) and all(label in (0, 1) for label in labels)
        return value["choices"], () if is_marked else labels, labels if is_marked else ()
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        labels = [item["label"] for item in value if item.get("label") is not None]
        return [item.get("text") for item in value], labels, [_is_marked(item) for item in value]
    return value, (), ()


def _is_marked(choice: Mapping[str, object]) -> bool:
    return any(choice.get(name) in (True, 1) for name in _MARKS)


def _described(value: object) -> str:
    if not isinstance(value, list | tuple):
        return type_name(value)
    kinds = {"an empty text" if choice == "" else type_name(choice) for choice in value}
    return f"a list of {' and '.join(sorted(kinds))}"


def _name(value: object) -> str:
    """A label, or what names one, as a text: 1.0 is 1, as tables have it that lack a number elsewhere."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def gold_place(place: str, column: str, value: object, choices: Choices, first_number: int = 0) -> int | None:
    """Which choice is the right one: by its label, text, number or letter, else by its mark.

    Labels come first, for a choice may read as the label of another one: ``3`` labelled ``1``, ``1`` labelled
    ``3``.

    Args:
        place: where the row stands, for messages.
        column: what says the right one, for messages.
        value: what it says; None, an empty text and NaN say nothing.
        choices: of the row.
        first_number: the number of the first choice.

    Returns:
        Its place from 0 on; None where the row does not say.

    Raises:
        CorpusError: it names no choice.
    """
    if isinstance(value, list | tuple) and len(value) == 1:  # as some say of which several may be right
        value = value[0]
    if value is None or value == "" or value != value:
        return choices.marked
    name, labels = _name(value), choices.labels
    if isinstance(value, bool):
        labels = tuple(label.lower() for label in labels)
    if name in labels:
        return labels.index(name)
    if isinstance(value, str) and choices.texts.count(value) == 1:
        return choices.texts.index(value)
    names_alike = [place for place, label in enumerate(labels) if label.lower() == name.lower()]
    if len(names_alike) == 1:  # True, as tables of CSV have it, is true
        return names_alike[0]
    if name == "-1":  # as test sets have it whose answers are not told
        return choices.marked
    number = None if isinstance(value, bool) else _number(name, first_number)
    if number is None or not 0 <= number - first_number < len(choices.texts):
        raise CorpusError(
            f"{place}: {column!r} is {value!r}, neither text, label, number (from {first_number} on) nor "
            f"letter of one of {len(choices.texts)} choices"
        )
    return number - first_number


def _number(name: str, first_number: int) -> int | None:
    """What a number or a letter counts from ``first_number`` on; None of anything else."""
    name = name.strip()
    if _NUMBER.fullmatch(name):
        return int(name)
    return ord(name.upper()) - ord("A") + first_number if re.fullmatch("[A-Za-z]", name) else None
