"""Files that are almost what they should be: decisions, taken one by one from bytes, damage good ones.

The bytes come from hypothesis, which makes them small, or from a coverage-guided fuzzer, which looks for
those that reach something new. The same bytes make the same files.
"""

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Files = Mapping[str, bytes]
"""Content of files by their names."""

TOKENS = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b'"',
    b"'",
    b"\\",
    b"\n",
    b"\r",
    b",",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"[[",
    b"9" * 5000,
    b"-1",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b'"\\ud800"',
    b"\x1b[31m",
    b"=HYPERLINK(1)",
    b"../../",
    b"\xe2\x80\xae",
    b"a." * 3000,
    b"2026-13-45",
    b"0001-01-01T00:00:00+23:59",
)
_DEEP = "@deep@"
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    0.1,
    1.0,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    2**31,
    2**53 + 1,
    2**63,
    10**30,
    10**400,
    "",
    " ",
    "x",
    "\ud800",
    "\0",
    "\x1b]0;x\x07\n",
    "../../../x",
    "/etc/passwd",
    "=1+1",
    "n" * 300,
    "2026-02-30",
    "bos",
    _DEEP,
    [],
    {},
    [[]],
    [None],
    [0, 0],
    {"": None},
    {"a": {"b": [1]}},
)


class Choices:
    """Decisions out of bytes; when these are used up, always the first possibility."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def number(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        num_bytes = ((high - low).bit_length() + 7) // 8
        chunk = self._data[self._position : self._position + num_bytes]
        self._position += num_bytes
        return low + int.from_bytes(chunk, "little") % (high - low + 1)

    def of(self, values: Sequence[T]) -> T:
        """One of them."""
        return values[self.number(0, len(values) - 1)]

    def bytes(self, count: int) -> bytes:
        """Any bytes."""
        chunk = self._data[self._position : self._position + count]
        self._position += count
        return chunk.ljust(count, b"\0")


def damaged_bytes(data: bytes, choices: Choices) -> bytes:
    """Bytes after one to four damages."""
    body = bytearray(data)
    for _ in range(choices.number(1, 4)):
        start = choices.number(0, len(body))
        end = min(len(body), start + choices.of([1, 2, 8, 64, 1000]))
        way = choices.number(0, 6)
        if way == 0:
            body[start:start] = choices.of(TOKENS)
        elif way == 1:
            body[start:end] = choices.bytes(end - start)
        elif way == 2:
            del body[start:end]
        elif way == 3:
            body[start:start] = body[start:end] * choices.of([1, 2, 50])
        elif way == 4:
            del body[start:]
        elif way == 5 and start < len(body):
            body[start] ^= 1 << choices.number(0, 7)
        elif way == 6 and len(body) >= start + 4:  # a length or an offset
            body[start : start + 4] = struct.pack("<i", choices.of([-1, 0, 2**31 - 1, -(2**31), 65536]))
    return bytes(body)


def damaged_value(value: Any, choices: Choices) -> Any:
    """A value of JSON after one to three damages to its structure."""
    holder = [copy.deepcopy(value)]
    for _ in range(choices.number(1, 3)):
        places = list(_places(holder))
        container, key = places[choices.number(0, len(places) - 1)]
        way = choices.number(0, 5)
        if way <= 2 or container is holder:
            container[key] = copy.deepcopy(choices.of(_VALUES))
        elif way == 3:
            del container[key]
        elif way == 4:  # the value of another place
            other_container, other_key = choices.of(places)
            container[key] = copy.deepcopy(other_container[other_key])
        elif isinstance(container, dict):
            container[choices.of(["", "sha256", "name", "x", "__class__", "\ud800"])] = copy.deepcopy(
                container[key]
            )
        else:
            container.extend(copy.deepcopy(container))
    return holder[0]


def _places(value: Any) -> Any:
    """Every container and key or index below a value, itself left out."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def as_json(value: Any) -> bytes:
    """A value as JSON, with what JSON does not allow; a placeholder becomes very deep."""
    text = json.dumps(value)
    return text.replace(f'"{_DEEP}"', "[" * 100_000 + "]" * 100_000).encode()


def damaged_json(data: bytes, choices: Choices) -> bytes:
    """A JSON file after damage to its structure, or, in one of four, to its bytes."""
    if choices.number(0, 3) == 3:
        return damaged_bytes(data, choices)
    return as_json(damaged_value(json.loads(data), choices))


def damaged_parquet(data: bytes, choices: Choices) -> bytes:
    """A Parquet file after damage to its columns, or, in one of four, to its bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if choices.number(0, 3) == 3 or not data.startswith(b"PAR1"):
        return damaged_bytes(data, choices)
    table = pq.read_table(io.BytesIO(data))
    for _ in range(choices.number(1, 2)):
        if table.num_columns == 0:
            break
        index = choices.number(0, table.num_columns - 1)
        name = table.column_names[index]
        way = choices.number(0, 5)
        if way == 0:
            table = table.remove_column(index)
        elif way == 1:
            table = table.rename_columns(
                [
                    choices.of(["", "text", "id", "x", "position"]) if n == name else n
                    for n in table.column_names
                ]
            )
        elif way == 2:
            table = table.append_column(name, table.column(index))
        elif way == 3:
            table = pa.concat_tables([table] * choices.of([2, 3, 40])) if table.num_rows < 10_000 else table
        elif way == 4:
            table = table.slice(0, choices.number(0, max(0, table.num_rows - 1)))
        else:
            table = table.set_column(index, name, _column(table.num_rows, choices))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=choices.of(["zstd", "none", "snappy"]))
    return sink.getvalue()


def _column(num_rows: int, choices: Choices) -> Any:
    """A column of another type or with other values."""
    import pyarrow as pa

    columns: tuple[Callable[[], Any], ...] = (
        lambda: pa.nulls(num_rows, pa.string()),
        lambda: pa.array([choices.of([0, -1, 2**62, 7])] * num_rows, pa.int64()),
        lambda: pa.array([choices.of([float("nan"), float("inf"), 0.5, -1.0])] * num_rows, pa.float64()),
        lambda: pa.array([b"\xff\xfe\x00"] * num_rows, pa.binary()),
        lambda: pa.array(["x"] * num_rows, pa.large_string()),
        lambda: pa.array([""] * num_rows, pa.string()),
        lambda: pa.array(["\x1b[31m\u202e\0"] * num_rows, pa.string()),
        lambda: pa.array([[1.5]] * num_rows, pa.list_(pa.float32())),
        lambda: pa.array([{"a": 1}] * num_rows, pa.struct([("a", pa.int8())])),
        lambda: pa.array([2**52] * num_rows, pa.timestamp(choices.of(["s", "us", "ns"]))),
        lambda: pa.array([-(2**31)] * num_rows, pa.date32()),
        lambda: pa.array([True] * num_rows, pa.bool_()),
        lambda: pa.array(["x"] * num_rows, pa.dictionary(pa.int32(), pa.string())),
        lambda: pa.nulls(num_rows),
        # bytes that are no UTF-8 in a column of texts: pyarrow does not look
        lambda: pa.array([b"\xff\xed\xa0\x80"] * num_rows, pa.binary()).view(pa.string()),
    )
    return choices.of(columns)()


def damaged_safetensors(data: bytes, choices: Choices) -> bytes:
    """A safetensors file after damage to what its header says, or, in one of four, to its bytes."""
    if choices.number(0, 3) == 3:
        return damaged_bytes(data, choices)
    (length,) = struct.unpack("<Q", data[:8])
    header = as_json(damaged_value(json.loads(data[8 : 8 + length]), choices))
    stated = choices.of([len(header)] * 5 + [0, 2**63, len(data) * 2])
    return struct.pack("<Q", stated) + header + data[8 + length :]


def damaged_zip(data: bytes, choices: Choices) -> bytes:
    """A file of torch after damage to one of its entries, the checksums right; or to its bytes."""
    if choices.number(0, 3) == 3:
        return damaged_bytes(data, choices)
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(sink, "w") as target:
        names = source.namelist()
        chosen = next((name for name in names if name.endswith("data.pkl")), names[0])
        if choices.number(0, 3) == 3:
            chosen = choices.of(names)
        for name in names:
            content = source.read(name)
            if name == chosen:
                content = damaged_bytes(content, choices)
            target.writestr(name, content)
    return sink.getvalue()
