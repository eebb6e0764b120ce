"""Which columns of a row are its text, the context before it, and the choices that it is to be told from.

A context stands before a text only where a row says so without doubt: under names that go together
(``context`` and ``continuation``, ``prompt`` and ``completion``), beside ``choices`` with the right one
marked, or by an option. A column ``context`` beside a ``text`` may be anything, and is not looked at.
"""

from collections.abc import Mapping
from typing import NamedTuple

from evalkit.corpora.choices import CHOICES_COLUMN, gold_place, read_choices
from evalkit.corpora.readers import type_name
from evalkit.errors import CorpusError

_TEXT_COLUMNS = ("text", "content")
_CONTINUATION_COLUMNS = ("continuation", "completion")
_CONTEXT_COLUMNS = ("context", "prompt")
_QUESTION_COLUMN = "question"
"""Is a context beside choices only."""
_GOLD_COLUMNS = ("gold", "answer", "label")
CONDITIONAL_COLUMNS = (
    *_CONTINUATION_COLUMNS,
    *_CONTEXT_COLUMNS,
    _QUESTION_COLUMN,
    CHOICES_COLUMN,
    *_GOLD_COLUMNS,
)
"""What may say the text of a row, and what stands before it."""


class NamedColumns(NamedTuple):
    """The columns that options name; None: by their usual names."""

    text: str | None = None
    context: str | None = None


class RowText(NamedTuple):
    """What is scored of a row."""

    text: str | None
    """None: the row has a null."""
    column: str
    """Whence the text is, for messages."""
    context: str | None
    context_column: str | None
    choices: tuple[str, ...] | None


def row_text(place: str, fields: Mapping[str, object], named: NamedColumns, *, is_our_table: bool) -> RowText:
    """The text of a row, with what stands before it and what it is to be told from.

    Args:
        place: where the row stands, for messages.
        fields: its columns.
        named: by options.
        is_our_table: whether its columns are those of a stored corpus.

    Raises:
        CorpusError: there is no text, what should be one is none, or no choice is marked as the right one.
    """
    names = (named.text,) if named.text else (*_TEXT_COLUMNS, *_CONTINUATION_COLUMNS)
    column = next((name for name in names if name in fields), None)
    if column is None and not named.text and fields.get(CHOICES_COLUMN) is not None:
        return _chosen(place, fields, named)
    if column is None:
        text_names = repr(named.text) if named.text else "'text' or 'content'"
        among = ", ".join(sorted(fields)) or "no columns"
        raise CorpusError(
            f"{place}: no {text_names} among {among}; --text-column names the column of the text"
        )
    context_column = _context_column(place, fields, named, column, is_our_table=is_our_table)
    is_pair = not named.text and column in _CONTINUATION_COLUMNS
    choices = fields.get(CHOICES_COLUMN) if is_our_table or is_pair else None
    return RowText(
        _text(place, column, fields[column]),
        column,
        _context(place, context_column, fields),
        context_column,
        None if choices is None else read_choices(place, choices).texts,
    )


def _context_column(
    place: str, fields: Mapping[str, object], named: NamedColumns, column: str, *, is_our_table: bool
) -> str | None:
    if named.context:
        if named.context not in fields:
            among = ", ".join(sorted(fields)) or "no columns"
            raise CorpusError(f"{place}: no {named.context!r} among {among}; --context-column names it")
        return named.context
    if is_our_table:
        return "context"
    if named.text or column not in _CONTINUATION_COLUMNS:
        return None
    usual_name = _CONTEXT_COLUMNS[_CONTINUATION_COLUMNS.index(column)]  # a completion's is its prompt
    return next((name for name in (usual_name, *_CONTEXT_COLUMNS) if name in fields), None)


def _chosen(place: str, fields: Mapping[str, object], named: NamedColumns) -> RowText:
    """The right one of a row's choices, behind its question."""
    choices = read_choices(place, fields[CHOICES_COLUMN])
    gold_column = next((name for name in _GOLD_COLUMNS if fields.get(name) is not None), "gold")
    gold = gold_place(place, gold_column, fields.get(gold_column), choices)
    if gold is None:
        raise CorpusError(
            f"{place}: no choice is marked as the right one; 'gold' says which: its place, from 0 on, its "
            "letter, its label or its text"
        )
    text = choices.texts[gold]
    if choices.texts.count(text) > 1:
        raise CorpusError(f"{place}: the right choice {text!r} stands twice among the choices")
    columns = (*_CONTEXT_COLUMNS, _QUESTION_COLUMN)
    column = named.context or next((name for name in columns if name in fields), None)
    return RowText(text, CHOICES_COLUMN, _context(place, column, fields), column, choices.texts)


def _context(place: str, column: str | None, fields: Mapping[str, object]) -> str | None:
    return None if column is None else _text(place, column, fields.get(column)) or None


def _text(place: str, column: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    hint = ""
    if column in (*_CONTEXT_COLUMNS, *_CONTINUATION_COLUMNS) and isinstance(value, list):
        hint = "; evalkit requests build makes texts of conversations"
    raise CorpusError(f"{place}: {column!r} is {type_name(value)}, not a text{hint}")
