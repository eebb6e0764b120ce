"""Whatever is in a file: what it says, or an error that names it."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from evalkit.cells.files import content_sha256
from tests.faults.damage import Choices, Files
from tests.faults.guard import finding, finding_of, watched
from tests.faults.readers import READER, READERS

NUM_EXAMPLES = {"tokenizer and config": 6, "Hugging Face weights": 6, "GGUF": 6, ".pth": 10, "compressed": 10}
"""Of those that take long; of the others 40."""


@pytest.mark.parametrize("name", READER)
def test_good_files_are_read(name: str, tmp_path: Path) -> None:
    READER[name].read(_written(READER[name].files(), tmp_path))


@pytest.mark.parametrize("name", READER)
def test_damaged_files_are_read_or_named(name: str, tmp_path: Path) -> None:
    reader = READER[name]

    @settings(
        max_examples=NUM_EXAMPLES.get(name, 40),
        deadline=None,
        database=None,
        phases=[Phase.generate],  # what is found is read off the file; to make it short would take minutes
        suppress_health_check=list(HealthCheck),
    )
    @seed(20261130)
    @given(st.binary(min_size=24, max_size=64))
    def reads(data: bytes) -> None:
        assert finding(reader, data, tmp_path) is None

    reads()


def _written(files: Files, folder: Path) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


DEEP = b"[" * 100_000


def _changed(reader: str, ending: str, change: Callable[[bytes], bytes]) -> tuple[str, Mapping[str, bytes]]:
    files = dict(READER[reader].files())
    name = min(name for name in files if name.endswith(ending))
    return reader, files | {name: change(files[name])}


def _with_field(name: str, value: object) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(json.loads(data) | {name: value}).encode()


def _with_header(**fields: object) -> Callable[[bytes], bytes]:
    """A safetensors file whose first tensor is described otherwise."""

    def change(data: bytes) -> bytes:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        header[min(header)] |= fields
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + length :]

    return change


def _with_pickle(opcodes: bytes) -> Callable[[bytes], bytes]:
    """A file of torch with another pickle in it."""

    def change(data: bytes) -> bytes:
        sink = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(sink, "w") as target:
            for name in source.namelist():
                target.writestr(name, opcodes if name.endswith("data.pkl") else source.read(name))
        return sink.getvalue()

    return change


def _on_two_disks(data: bytes) -> bytes:
    start = data.rindex(b"PK\x06\x07") + 16
    return data[:start] + struct.pack("<I", 2) + data[start + 4 :]


def _saved(value: object) -> bytes:
    sink = io.BytesIO()
    torch.save(value, sink)
    return sink.getvalue()


def _damaged(reader: str, decisions: str) -> tuple[str, Mapping[str, bytes]]:
    files = dict(READER[reader].files())
    return reader, READER[reader].damage(files, Choices(bytes.fromhex(decisions)))


def _not_utf8(data: bytes, name: str = "title") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    column = pa.array([b"\xff"] * table.num_rows, pa.binary()).view(pa.string())
    sink = io.BytesIO()
    pq.write_table(table.set_column(table.column_names.index(name), name, column), sink)
    return sink.getvalue()


def _changed_rows(
    kind: str, column: str, change: Callable[[bytes, str], bytes]
) -> tuple[str, Mapping[str, bytes]]:
    """Cells of which one has other rows, and says so."""
    files = dict(READER["cells"].files())
    name = min(
        name for name in files if name.endswith(".parquet") and (kind == "probes") == ("/probes/" in name)
    )
    rows = change(files[name], column)
    content_name = name.replace(".parquet", ".json")
    content = json.loads(files[content_name])
    part = "items" if "items" in content else "documents"
    content[part]["parquet_sha256"] = hashlib.sha256(rows).hexdigest()
    content["sha256"] = content_sha256(content)
    return "cells", files | {name: rows, content_name: json.dumps(content).encode()}


FOUND: dict[str, Callable[[], tuple[str, Files]]] = {
    "deep manifest": lambda: _changed("stored corpus", "manifest.json", lambda _: DEEP),
    "column of which pyarrow ends the process": lambda: _damaged(
        "stored corpus", "3a6328282828282828282828282828282828282828281c010000ff6d000100"
    ),
    "lists of lists in a table of contents": lambda: _damaged(
        "Parquet", "231f2f1d010000000000000d00d843f69a834933ab0c"
    ),
    "file called by a zero byte": lambda: _changed(
        "stored corpus", "manifest.json", _with_field("parquet_file", "documents\0.parquet")
    ),
    "file called by half a character": lambda: _changed(
        "stored corpus", "manifest.json", _with_field("parquet_file", "\ud800.parquet")
    ),
    "deep corpus.json": lambda: _changed("published data set", "corpus.json", lambda _: DEEP),
    "deep profile": lambda: _changed("profile", "json", lambda _: DEEP),
    "deep evalkit.toml": lambda: ("evalkit.toml", {"evalkit.toml": b"a = " + DEEP}),
    "deep leaderboard.toml": lambda: ("leaderboard.toml", {"leaderboard.toml": b"a = " + DEEP}),
    "deep feeds.toml": lambda: ("feeds.toml", {"feeds.toml": b"a = " + DEEP}),
    "integer of 5,000 digits": lambda: ("evalkit.toml", {"evalkit.toml": b"a = " + b"9" * 5000}),
    "quantiles of texts": lambda: _changed("profile", "json", _with_field("length_quantiles", ["x"] * 21)),
    "quantiles of lists": lambda: _changed("profile", "json", _with_field("length_quantiles", [[]] * 21)),
    "quantiles beyond floats": lambda: _changed(
        "profile", "json", _with_field("length_quantiles", [10**400] * 21)
    ),
    "languages that are no object": lambda: _changed("profile", "json", _with_field("languages", 0.5)),
    "a count that is a text": lambda: _changed("profile", "json", _with_field("num_bytes", "3")),
    "titles that are no UTF-8": lambda: _changed(
        "published data set", "data/test-00000-of-00001.parquet", _not_utf8
    ),
    "titles of a cell that are no UTF-8": lambda: _changed_rows("corpus", "title", _not_utf8),
    "tests of a probe that are no UTF-8": lambda: _changed_rows("probes", "test", _not_utf8),
    "shape of texts": lambda: _changed("safetensors", "safetensors", _with_header(shape=["x", 2])),
    "type with a line break": lambda: _changed(
        "safetensors", "safetensors", _with_header(dtype="\x1b]0;x\x07\n")
    ),
    "ratio beyond floats": lambda: _changed(
        "benchmarks",
        "json",
        _with_field("rows", [{"operator": "x", "shape": "1", "peers": {"y": {"ratio": 10**400}}}]),
    ),
    "shape with a hole": lambda: _changed("safetensors", "safetensors", _with_header(shape=[None])),
    "offset that is a text": lambda: _changed(
        "safetensors", "safetensors", _with_header(data_offsets=["", []])
    ),
    "stack of a pickle empty": lambda: _changed(".pth", "pth", _with_pickle(b"\x80\x02\x86.")),
    "column called by a line end": lambda: _changed(
        "CSV", "csv", lambda data: data.replace(b"text", b"te\x1ct", 1)
    ),
    "key called by a line end": lambda: _changed(
        "JSONL", "jsonl", lambda data: data.replace(b"text", b"te\\nt", 1)
    ),
    "archive on two disks": lambda: _changed(".pth", "pth", _on_two_disks),
    "tensor called by a number": lambda: _changed(".pth", "pth", lambda _: _saved({1: torch.zeros(2)})),
    "tensor called by a line end": lambda: _changed(
        ".pth", "pth", lambda _: _saved({"a\x0bb": torch.zeros(2)})
    ),
    "memo of a pickle empty": lambda: _changed(".pth", "pth", _with_pickle(b"\x80\x02h\x63.")),
}
"""What the fuzzers found: each ended with a traceback once."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once(name: str, tmp_path: Path) -> None:
    reader, files = FOUND[name]()
    assert finding_of(READER[reader], files, tmp_path) is None


def test_the_guard_sees_what_no_reader_may_do(tmp_path: Path) -> None:
    """Each kind of finding, by a reader that is at fault on purpose."""
    import subprocess

    from evalkit.errors import CorpusError

    class Raw(CorpusError):
        __str__ = Exception.__str__

    def refuse(message: str) -> None:
        raise Raw(message)

    good = READER["JSON"]
    faults: dict[str, Callable[[Path], object]] = {
        "ValueError": lambda folder: int("no"),
        "names no file": lambda folder: refuse("something is wrong"),
        "is not one line": lambda folder: refuse("texts.json:\nwrong"),
        "subprocess.Popen": lambda folder: subprocess.run(["true"], check=True),
        "changes the files": lambda folder: (folder / "more").touch(),
        "open ": lambda folder: Path("beside").write_text(""),
    }
    for says, read in faults.items():
        folder = tmp_path / "in"
        folder.mkdir()
        problem = finding_of(good._replace(read=read), good.files(), folder)
        assert problem is not None and says in problem, (says, problem)
        folder.rmdir()
    with watched() as acts:
        pass
    assert not acts


def test_the_same_bytes_make_the_same_files() -> None:
    for reader in READERS:
        files = [reader.damage(dict(reader.files()), Choices(bytes(range(40)))) for _ in range(2)]
        assert files[0] == files[1]
