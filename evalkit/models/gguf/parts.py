"""A model in several GGUF files, ``NAME-00001-of-00003.gguf``, as llama.cpp's ``gguf-split`` writes them.

The first part has the metadata of the whole; each says which part it is (``split.no``, from 0), of how many
(``split.count``), and how many tensors there are in all (``split.tensors.count``).
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from evalkit.errors import ModelError
from evalkit.models.gguf.header import Header, Value, read_header

_PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def names_of_parts(name: str) -> list[str]:
    """The names of all parts of the model that a file is of; a file that is not called so is all of it."""
    match = _PART_NAME.fullmatch(name)
    if match is None:
        return [name]
    count = int(match["count"])
    parts = [f"{match['stem']}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    return parts if 1 <= int(match["number"]) <= count else [name]


def first_parts(names: Sequence[str]) -> list[str]:
    """One name for each model: of parts the first, whether it is there or not."""
    return list(dict.fromkeys(names_of_parts(name)[0] for name in names))


def check_all_there(parts: Sequence[str], names: Collection[str], place: str, model: str) -> None:
    """Refuse a model of which parts are missing.

    Args:
        parts: names of all parts.
        names: what is there.
        place: where they should be, for messages.
        model: the model's name, for messages.

    Raises:
        ModelError: a part is missing; it is named.
    """
    missing = [part for part in parts if part not in set(names)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"{model}: {place} has no {missing[0]}{more}, of {len(parts)} parts of the model; fetch all"
        )


def read_parts(paths: Sequence[Path]) -> Header:
    """The header of a whole model: metadata of the first part, tensors of all.

    Args:
        paths: all parts, in their order.

    Raises:
        ModelError: a part is none, is of another model or place, or tensors are missing.
    """
    headers = [read_header(path) for path in paths]
    first = headers[0]
    count = first.integer("split.count", 1)
    if count != len(paths) and (count > 1 or len(paths) > 1):
        if len(paths) == 1:
            raise ModelError(
                f"{first.path} is one of {count} parts, and is not called so; give them the names "
                f"NAME-00001-of-{count:05d}.gguf and so on"
            )
        raise ModelError(
            f"{first.path} says that it is one of {count} parts, and its name that it is one of "
            f"{len(paths)}; fetch all of them from one place"
        )
    tensors = dict(first.tensors)
    for number, header in enumerate(headers[1:], 2):
        _check_part(header, number, first)
        for name in header.tensors:
            if name in tensors:
                raise ModelError(
                    f"{header.path}: tensor {name} is in {tensors[name].path.name} as well: they are parts "
                    "of different files; fetch all of them from one place"
                )
        tensors.update(header.tensors)
    if len(paths) > 1:
        _check_part(first, 1, first)
        num_tensors = first.integer("split.tensors.count", -1)
        if num_tensors != len(tensors):
            raise ModelError(
                f"{first.path}: the whole has {num_tensors:,} tensors by its metadata, and the "
                f"{len(paths)} parts have {len(tensors):,}; fetch all of them from one place"
            )
    num_bytes = sum(header.num_file_bytes for header in headers)
    return first._replace(tensors=tensors, num_file_bytes=num_bytes)


def _check_part(header: Header, number: int, first: Header) -> None:
    """Refuse a part that is not the one that its name says, or says otherwise of the model than the first."""
    stated = header.integer("split.no", -1)
    if stated != number - 1:
        raise ModelError(
            f"{header.path} is called part {number} and "
            + ("does not say which it is" if stated < 0 else f"says that it is part {stated + 1}")
            + "; fetch all of them from one place"
        )
    for key, value in header.metadata.items():
        if key != "split.no" and not _is_equal(value, first.metadata.get(key)):
            raise ModelError(
                f"{header.path}: its {key} is not that of {first.path.name}: they are parts of different "
                "files; fetch all of them from one place"
            )


def _is_equal(value: Value, expected: Value | None) -> bool:
    if isinstance(value, np.ndarray) or isinstance(expected, np.ndarray):
        return np.array_equal(np.asarray(value), np.asarray(expected))
    return value == expected
