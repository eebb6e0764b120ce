"""What the headers of a Parquet file's pages say, before any page is unpacked.

A file's table of contents is at its end, and may say less than the pages hold: what a reader allocates, and
how much it unpacks, goes by the headers of the pages. They are structs of Thrift's compact protocol:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift (PageHeader) and
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

import contextlib
import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

Buffer: TypeAlias = "bytes | memoryview"
_Value: TypeAlias = "int | dict[int, _Value] | list[_Value] | None"
_Struct: TypeAlias = "dict[int, _Value]"

DICTIONARY_ENCODINGS = (2, 8)
"""PLAIN_DICTIONARY, RLE_DICTIONARY: values are indices into the dictionary page."""
DELTA_BYTE_ARRAY = 7
"""A value is the start of the one before it, and more."""
_DATA_PAGES = {0: (5, 2), 3: (8, 4)}
"""By type of page: the field that its own header is in, and the encoding's in that."""
_DICTIONARY_PAGE = 2
_ROW_GROUPS, _COLUMNS, _COLUMN_METADATA = 4, 1, 3
_NUM_VALUES, _NUM_COMPRESSED_BYTES, _DATA_OFFSET, _DICTIONARY_OFFSET = 5, 7, 9, 11
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_INTEGERS = (_I16, _I32, _I64)
_MOST_DEPTH = 16


class Page(NamedTuple):
    """A page, by its header."""

    num_plain_bytes: int
    """Unpacked."""
    num_values: int
    """Nulls among them; of a dictionary, none."""
    encoding: int | None
    """None: it is a dictionary."""


def read_columns(content: Buffer) -> Iterator[list[Iterator[Page]]]:
    """The pages of every column of every row group, by the table of contents at the end of a file.

    It is not asked of pyarrow, which ends the process where a column says what it must not
    (``Definition level histogram size mismatch``).

    Raises:
        ValueError: there is no such table, or no page where one should be.
    """
    (length,) = struct.unpack("<I", content[-8:-4])
    start = len(content) - 8 - length
    if start < 0:
        raise ValueError("its table of contents begins before the file does")
    with _inside():
        fields, _ = _read_struct(content, start, 0)
    for group in _structs(fields.get(_ROW_GROUPS)):
        yield [_column_pages(content, column) for column in _structs(group.get(_COLUMNS))]


def _column_pages(content: Buffer, column: _Struct) -> Iterator[Page]:
    fields = column.get(_COLUMN_METADATA)
    if not isinstance(fields, dict):
        raise ValueError("a column of it says nothing of where it is")
    num_values, num_bytes, start = (
        fields.get(field) for field in (_NUM_VALUES, _NUM_COMPRESSED_BYTES, _DATA_OFFSET)
    )
    if not (isinstance(num_values, int) and isinstance(num_bytes, int) and isinstance(start, int)):
        raise ValueError("a column of it does not say where it is")
    dictionary_start = fields.get(_DICTIONARY_OFFSET)
    if isinstance(dictionary_start, int) and 0 < dictionary_start < start:
        start = dictionary_start
    if start < 0:
        raise ValueError("a column of it begins before the file does")
    return read_pages(content, start, start + num_bytes, num_values)


def _structs(values: _Value) -> Iterator[_Struct]:
    yield from (value for value in values if isinstance(value, dict)) if isinstance(values, list) else ()


def read_pages(content: Buffer, start: int, end: int, num_values: int) -> Iterator[Page]:
    """The pages of a column of a row group, as far as a reader goes.

    Args:
        content: the file.
        start: of the first page, in bytes.
        end: of the column.
        num_values: of the column by the table of contents, where readers stop.

    Raises:
        ValueError: there is no page where one should be.
    """
    position, num_seen = start, 0
    while num_seen < num_values and position < end:
        with _inside():
            header, position = _read_struct(content, position, 0)
        page = _page(header)
        num_bytes = header.get(3)
        if page is None or not isinstance(num_bytes, int) or num_bytes < 0:
            raise ValueError(f"at byte {position} it has no page where one should be")
        num_seen += page.num_values
        position += num_bytes
        yield page


def _page(header: _Struct) -> Page | None:
    kind, num_plain_bytes = header.get(1), header.get(2)
    if not isinstance(kind, int) or not isinstance(num_plain_bytes, int) or num_plain_bytes < 0:
        return None
    if kind not in _DATA_PAGES:  # a dictionary, or what readers pass over
        return Page(num_plain_bytes if kind == _DICTIONARY_PAGE else 0, 0, None)
    field, encoding_field = _DATA_PAGES[kind]
    fields = header.get(field)
    if not isinstance(fields, dict):
        return None
    num_values, encoding = fields.get(1), fields.get(encoding_field)
    if not isinstance(num_values, int) or num_values < 0 or not isinstance(encoding, int):
        return None
    return Page(num_plain_bytes, num_values, encoding)


@contextlib.contextmanager
def _inside() -> Iterator[None]:
    """Say of a byte that is not there that it is not; nothing is read before the first one that is asked for.

    Raises:
        ValueError: it is not there.
    """
    try:
        yield
    except IndexError as error:
        raise ValueError(
            "the header of a page, or its table of contents, ends outside of the file"
        ) from error


def _read_struct(content: Buffer, position: int, depth: int) -> tuple[_Struct, int]:
    """Its numbers and structs by field, and where it ends.

    Numbers of a byte, nearly all, are read here without a call: a cell of nine columns has a thousand.

    Raises:
        ValueError: it is none.
        IndexError: it ends outside of the file.
    """
    if depth > _MOST_DEPTH:
        raise ValueError(f"at byte {position} the header of a page has no end")
    fields: _Struct = {}
    number = 0
    while head := content[position]:
        position += 1
        step, kind = head >> 4, head & 15
        if step:
            number += step
        else:
            zigzag, position = _read_varint(content, position)
            number = (zigzag >> 1) ^ -(zigzag & 1)
        if kind in _INTEGERS:
            zigzag = content[position]
            position += 1
            if zigzag > 127:
                zigzag, position = _read_varint(content, position - 1)
            fields[number] = (zigzag >> 1) ^ -(zigzag & 1)
        elif kind == _STRUCT:
            fields[number], position = _read_struct(content, position, depth + 1)
        elif kind in (_LIST, _SET):
            fields[number], position = _read_list(content, position, depth)
        elif kind not in (_TRUE, _FALSE):  # which are their own values
            position = _end_of_value(content, position, kind)
    return fields, position + 1


def _end_of_value(content: Buffer, position: int, kind: int) -> int:
    """Where a value ends of which nobody asks what it is."""
    if kind == _BINARY:
        length, position = _read_varint(content, position)
        return position + length
    if kind == _BYTE:
        return position + 1
    if kind == _DOUBLE:
        return position + 8
    raise ValueError(f"at byte {position} there is a field of a type that Parquet has not")


def _read_list(content: Buffer, position: int, depth: int) -> tuple[list[_Value], int]:
    if depth > _MOST_DEPTH:
        raise ValueError(f"at byte {position} a list of lists has no end")
    head = content[position]
    size, kind = head >> 4, head & 15
    position += 1
    if size == 15:
        size, position = _read_varint(content, position)
    if kind in (_TRUE, _FALSE):  # of which an element takes a byte
        kind = _BYTE
    values: list[_Value] = []
    value: _Value
    for _ in range(size):
        content[position]  # so that a list of anything ends with the file
        if kind == _STRUCT:
            value, position = _read_struct(content, position, depth + 1)
        elif kind in (_LIST, _SET):
            value, position = _read_list(content, position, depth + 1)
        elif kind in _INTEGERS:
            zigzag, position = _read_varint(content, position)
            value = (zigzag >> 1) ^ -(zigzag & 1)
        else:
            value, position = None, _end_of_value(content, position, kind)
        values.append(value)
    return values, position


def _read_varint(content: Buffer, position: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        byte = content[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
    raise ValueError(f"at byte {position} the header of a page has a number of no end")
