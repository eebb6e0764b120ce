"""Frozen dataclasses as JSON objects and back: every field, no other, each of its type.

What plain decoders of dataclasses lack and cells need is what `Mark` lists: an open part beside an object's
fields, a group of fields that is there or not as a whole, fields that may be absent, or are not in the file.
"""

import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

_TYPE_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}

T = TypeVar("T")


class FieldError(ValueError):
    """A field is missing, unknown or of the wrong type; the message begins with its path."""


class Mark(enum.Enum):
    """What ``Annotated`` says of a field beside its type."""

    FLAT = enum.auto()
    """Its entries stand beside the other fields: a mapping, or a dataclass or None."""
    MAY_BE_ABSENT = enum.auto()
    """None where the file does not have it, and left out of the file where it is None."""
    ANY_JSON = enum.auto()
    """Its type is not looked at: whatever JSON can hold."""
    NOT_IN_FILE = enum.auto()
    """It says something of the object and is none of its content."""


class Called(NamedTuple):
    """The name by which the file calls a field, where Python cannot."""

    json_name: str


class _Field(NamedTuple):
    name: str
    json_name: str
    hint: Any
    marks: frozenset[Mark | Called]


def _fields(cls: Any) -> tuple[_Field, ...]:
    fields: tuple[_Field, ...] = _cached_fields(cls)
    return fields


@functools.cache
def _cached_fields(cls: Any) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        marks: list[Mark | Called] = []
        if typing.get_origin(hint) is typing.Annotated:
            hint, *marks = typing.get_args(hint)
        if Mark.NOT_IN_FILE in marks:
            continue
        json_name = next((mark.json_name for mark in marks if isinstance(mark, Called)), field.name)
        fields.append(_Field(field.name, json_name, hint, frozenset(marks)))
    return tuple(fields)


def to_json(value: Any) -> Any:
    """A dataclass, and whatever it holds, as JSON objects, lists and scalars."""
    if dataclasses.is_dataclass(value):
        content: dict[str, Any] = {}
        for field in _fields(type(value)):
            part = getattr(value, field.name)
            if Mark.FLAT in field.marks:
                content |= {} if part is None else to_json(part)
            elif part is not None or Mark.MAY_BE_ABSENT not in field.marks:
                content[field.json_name] = to_json(part)
        return content
    if isinstance(value, Mapping):
        return {name: to_json(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    return value


def from_json(cls: type[T], content: Any, place: str = "", **not_in_file: Any) -> T:
    """A dataclass from a JSON object.

    Args:
        cls: the dataclass.
        content: what the JSON holds.
        place: path of the object within its file, for messages; empty for the whole file.
        not_in_file: values of the fields that are not in the file.

    Raises:
        FieldError: a field is missing, unknown, or not what it should be.
    """
    if not isinstance(content, Mapping):
        raise _expected("an object", content, place or "the file")
    remaining = dict(content)
    values: dict[str, Any] = dict(not_in_file)
    open_field = None
    for field in _fields(cls):
        if Mark.FLAT in field.marks:
            group = _alternatives(field.hint)[0]
            if not dataclasses.is_dataclass(group):
                open_field = field
                continue
            names = [member.json_name for member in _fields(group)]
            part = {name: remaining.pop(name) for name in names if name in remaining}
            values[field.name] = from_json(group, part, place) if part else None  # type: ignore[arg-type]
        elif field.json_name in remaining:
            path = _join(place, field.json_name)
            value = remaining.pop(field.json_name)
            values[field.name] = value if Mark.ANY_JSON in field.marks else _value(field.hint, value, path)
        elif Mark.MAY_BE_ABSENT not in field.marks:
            raise FieldError(f"{_join(place, field.json_name)} is missing")
    if open_field is not None:
        values[open_field.name] = _value(open_field.hint, remaining, place)
    elif remaining:
        raise FieldError(f"{_join(place, min(remaining))} is unknown")
    return cls(**values)


def _value(hint: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _one_of(arguments, value, place)
    if origin is typing.Literal:
        if value not in arguments:
            raise FieldError(f"{place} is {value!r}, not {' or '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return _sequence(arguments, value, place)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _expected("an object", value, place)
        return {name: _value(arguments[1], part, _join(place, name)) for name, part in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, place)  # type: ignore[arg-type]
    if not _is_scalar(hint, value):
        raise _expected(_TYPE_NAMES[hint], value, place)
    return value


def _one_of(hints: Sequence[Any], value: Any, place: str) -> Any:
    """A value of one of several types: None, several scalars, or one type that is more than a scalar."""
    if value is None and type(None) in hints:
        return None
    hints = [hint for hint in hints if hint is not type(None)]
    if len(hints) == 1:
        return _value(hints[0], value, place)
    if not any(_is_scalar(hint, value) for hint in hints):
        raise _expected(" or ".join(_TYPE_NAMES[hint] for hint in hints), value, place)
    return value


def _sequence(hints: Sequence[Any], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _expected("a list", value, place)
    if hints[-1] is Ellipsis:
        hints = [hints[0]] * len(value)
    elif len(hints) != len(value):
        raise FieldError(f"{place} has {len(value)} entries, not {len(hints)}")
    return tuple(
        _value(hint, part, f"{place}[{number}]")
        for number, (hint, part) in enumerate(zip(hints, value, strict=True))
    )


def _is_scalar(hint: Any, value: Any) -> bool:
    if hint is float:  # JSON has one type of number: 2 is as good as 2.0
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _alternatives(hint: Any) -> list[Any]:
    """The types of a union but None."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return [argument for argument in typing.get_args(hint) if argument is not type(None)]
    return [hint]


def _expected(expected: str, value: Any, place: str) -> FieldError:
    if value is None:
        shown = "null"
    elif isinstance(value, Mapping):
        shown = "an object"
    elif isinstance(value, list):
        shown = "a list"
    else:
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
    return FieldError(f"{place} must be {expected}, not {shown}")


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
