"""Frozen dataclasses as JSON objects and back: every field, no other, each of its type.

What plain decoders of dataclasses lack and the files of cells need is what `Mark` lists: an open part beside
an object's fields, a group of fields that is there or not as a whole, fields that may be absent, or are not
in the file.
"""

import contextlib
import dataclasses
import enum
import functools
import marshal
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

Scalar: TypeAlias = str | int | float | bool | None
JsonValue: TypeAlias = Scalar | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

_Hint: TypeAlias = Any
"""A type as `typing.get_args` takes it apart; Python has no type for these."""

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
    """An object whose entries are not looked at: whatever JSON can hold."""
    NOT_IN_FILE = enum.auto()
    """It says something of the object and is none of its content."""
    ALIKE = enum.auto()
    """An object that is the same in many files: read once, and one object in memory."""


class Called(NamedTuple):
    """The name by which the file calls a field, where Python cannot."""

    json_name: str


class _Field(NamedTuple):
    name: str
    json_name: str
    hint: _Hint
    marks: frozenset[Mark | Called]


_FIELDS: dict[_Hint, tuple[_Field, ...]] = {}
"""Of the classes that were read so far."""


def _fields(cls: _Hint) -> tuple[_Field, ...]:
    if cls not in _FIELDS:
        _FIELDS[cls] = _read_fields(cls)
    return _FIELDS[cls]


def _read_fields(cls: _Hint) -> tuple[_Field, ...]:
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


def to_json(instance: object) -> dict[str, object]:
    """The JSON object of a dataclass, and of whatever dataclasses it holds."""
    content: dict[str, object] = {}
    for field in _fields(type(instance)):
        value = getattr(instance, field.name)
        if Mark.FLAT in field.marks:
            content |= {} if value is None else dict(value) if isinstance(value, Mapping) else to_json(value)
        elif Mark.ANY_JSON in field.marks:
            content[field.json_name] = value
        elif value is not None or Mark.MAY_BE_ABSENT not in field.marks:
            content[field.json_name] = _json_value(value)
    return content


def _json_value(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {name: _json_value(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_json_value(part) for part in value]
    return value


def from_json(cls: type[T], content: object, place: str = "", **not_in_file: object) -> T:
    """A dataclass from a JSON object.

    Args:
        cls: the dataclass.
        content: what the JSON holds.
        place: path of the object within its file, for messages; empty for the whole file.
        not_in_file: values of the fields that are not in the file.

    Raises:
        FieldError: a field is missing, unknown, or not what it should be.
    """
    try:
        hint: _Hint = cls
        instance: T = _quick_reader(hint)(content, not_in_file)
        return instance
    except _UnfitError:
        return _from_json(cls, content, place, not_in_file)


def _from_json(cls: type[T], content: object, place: str, not_in_file: Mapping[str, object]) -> T:
    if not isinstance(content, Mapping):
        raise _expected("an object", content, place or "the file")
    remaining = dict(content)
    values: dict[str, object] = dict(not_in_file)
    open_field = None
    for field in _fields(cls):
        if Mark.FLAT in field.marks:
            group: _Hint = _alternatives(field.hint)[0]
            if typing.get_origin(group) is not None:
                open_field = field
                continue
            names = [member.json_name for member in _fields(group)]
            part = {name: remaining.pop(name) for name in names if name in remaining}
            values[field.name] = _from_json(group, part, place, {}) if part else None
        elif field.json_name in remaining:
            value, path = remaining.pop(field.json_name), _join(place, field.json_name)
            if Mark.ANY_JSON not in field.marks:
                value = _value(field.hint, value, path)
            elif not isinstance(value, Mapping):
                raise _expected("an object", value, path)
            values[field.name] = value
        elif Mark.MAY_BE_ABSENT not in field.marks:
            raise FieldError(f"{_join(place, field.json_name)} is missing")
    if open_field is not None:
        values[open_field.name] = _value(open_field.hint, remaining, place)
    elif remaining:
        raise FieldError(f"{_join(place, min(remaining))} is unknown")
    return cls(**values)


def _value(hint: _Hint, value: object, place: str) -> object:
    origin: _Hint = typing.get_origin(hint)
    arguments = typing.get_args(hint)
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
        cls: _Hint = hint
        return _from_json(cls, value, place, {})
    if not _is_scalar(hint, value):
        raise _expected(_TYPE_NAMES[hint], value, place)
    return value


def _one_of(hints: Sequence[_Hint], value: object, place: str) -> object:
    """A value of one of several types: None, several scalars, or one type that is more than a scalar."""
    if value is None and type(None) in hints:
        return None
    hints = [hint for hint in hints if hint is not type(None)]
    if len(hints) == 1:
        return _value(hints[0], value, place)
    if not any(_is_scalar(hint, value) for hint in hints):
        raise _expected(" or ".join(_TYPE_NAMES[hint] for hint in hints), value, place)
    return value


def _sequence(hints: Sequence[_Hint], value: object, place: str) -> tuple[object, ...]:
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


def _is_scalar(hint: _Hint, value: object) -> bool:
    if hint is float:  # JSON has one type of number: 2 is as good as 2.0
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    if hint is int:  # those beyond 64 bits fit no column, and count nothing
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return isinstance(value, hint)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _alternatives(hint: _Hint) -> list[_Hint]:
    """The types of a union but None."""
    origin: _Hint = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return [argument for argument in typing.get_args(hint) if argument is not type(None)]
    return [hint]


def _expected(expected: str, value: object, place: str) -> FieldError:
    if value is None:
        shown = "null"
    elif isinstance(value, Mapping):
        shown = "an object"
    elif isinstance(value, list):
        shown = "a list"
    else:
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
    return FieldError(f"{place} must be {expected}, not {shown}")


# --- what fits at the first look, which is all but what is to be refused ---


class _UnfitError(Exception):
    """Whether something is to be refused, and in which words, is to be seen by a closer look."""


class _QuickField(NamedTuple):
    name: str
    json_name: str
    plain_types: frozenset[type]
    """A value of exactly one of these is right as it is."""
    read: Callable[[Any], object]
    """Gives the values of others."""
    may_be_absent: bool


_ALIKE: dict[tuple[_Hint, bytes], object] = {}
"""What was read of fields that are `Mark.ALIKE`, by what the file says."""
_MOST_ALIKE = 4096


@functools.cache
def _quick_reader(cls: _Hint) -> Callable[[Any, Mapping[str, object]], Any]:
    """What makes a dataclass of a JSON object, of thousands of files in a second.

    It raises `_UnfitError` where `_from_json` would raise anything, and for what is seldom written.
    """
    fields, groups, open_fields = [], [], []
    for field in _fields(cls):
        group = _alternatives(field.hint)[0] if Mark.FLAT in field.marks else None
        if group is None:
            fields.append(_quick_field(field))
        elif typing.get_origin(group) is None:
            names = [member.json_name for member in _fields(group)]
            groups.append((field.name, names, _quick_reader(group)))
        else:
            open_fields.append((field.name, _quick_value(group)))
    fixed = {field.json_name for field in fields}.union(*(names for _, names, _ in groups))

    def read(content: Any, not_in_file: Mapping[str, object]) -> Any:
        if type(content) is not dict:
            raise _UnfitError
        values = dict(not_in_file)
        for name, json_name, plain_types, read_value, may_be_absent in fields:
            if json_name in content:
                value = content[json_name]
                values[name] = value if type(value) in plain_types else read_value(value)
            elif not may_be_absent:
                raise _UnfitError
        for name, names, read_group in groups:
            part = {key: content[key] for key in names if key in content}
            values[name] = read_group(part, {}) if part else None
        if open_fields or not content.keys() <= fixed:
            if not open_fields:
                raise _UnfitError
            name, read_value = open_fields[0]
            values[name] = read_value({key: content[key] for key in content if key not in fixed})
        return cls(**values)

    return read


def _quick_field(field: _Field) -> _QuickField:
    alternatives = _alternatives(field.hint)
    allows_none = type(None) in typing.get_args(field.hint)
    plain_types = frozenset({str, bool} & set(alternatives)) | frozenset({type(None)} if allows_none else ())
    read = _exactly_object if Mark.ANY_JSON in field.marks else _quick_value(field.hint)
    if Mark.ALIKE in field.marks:
        read = functools.partial(_read_alike, alternatives[0], read)
    return _QuickField(field.name, field.json_name, plain_types, read, Mark.MAY_BE_ABSENT in field.marks)


def _read_alike(cls: _Hint, read: Callable[[Any], object], value: Any) -> object:
    try:
        key = cls, marshal.dumps(value, 2)  # a later version says of each object whether it was seen before
    except ValueError as error:
        raise _UnfitError from error
    if key not in _ALIKE:
        if len(_ALIKE) >= _MOST_ALIKE:
            _ALIKE.clear()
        _ALIKE[key] = read(value)
    return _ALIKE[key]


def _quick_value(hint: _Hint) -> Callable[[Any], object]:
    """What gives a value of a type."""
    origin: _Hint = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        readers = [_quick_value(argument) for argument in _alternatives(hint)]
        return functools.partial(_read_any, readers, type(None) in arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return functools.partial(_read_list, _quick_value(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_read_mapping, _quick_value(arguments[1]))
    if dataclasses.is_dataclass(hint):
        cls: _Hint = hint
        read = _quick_reader(cls)
        return lambda value: read(value, {})
    return functools.partial(_read_scalar, hint)


def _read_any(readers: Sequence[Callable[[Any], object]], allows_none: bool, value: object) -> object:
    if value is None and allows_none:
        return None
    if len(readers) == 1:
        return readers[0](value)
    for read in readers:
        with contextlib.suppress(_UnfitError):
            return read(value)
    raise _UnfitError


def _read_list(read: Callable[[Any], object], value: object) -> tuple[object, ...]:
    if type(value) is not list:
        raise _UnfitError
    return tuple(map(read, value))


def _read_mapping(read: Callable[[Any], object], value: object) -> dict[str, object]:
    if type(value) is not dict:
        raise _UnfitError
    return {name: read(part) for name, part in value.items()}


def _exactly_object(value: object) -> object:
    if type(value) is not dict:
        raise _UnfitError
    return value


def _read_scalar(hint: _Hint, value: object) -> object:
    if hint not in _TYPE_NAMES or not _is_scalar(hint, value):  # of others the closer look knows more
        raise _UnfitError
    return value


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
