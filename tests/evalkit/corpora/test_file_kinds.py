import bz2
import csv
import datetime as dt
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.corpora.importers import dates_of_file_name, name_of_input, read_documents
from evalkit.corpora.store import import_corpus, load_corpus
from evalkit.errors import CorpusError, EvalkitError, UsageError

STATED = {"source": "s", "license": "CC0-1.0", "date_from": "2026-01-01", "date_to": "2026-01-31"}

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def texts(path: Path, text_column: str | None = None) -> list[str]:
    return [document.text for document in read_documents(path, text_column=text_column).documents]


def table(rows: list[list[str]], delimiter: str) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    return stream.getvalue().encode()


@pytest.mark.parametrize(("ending", "delimiter"), [(".csv", ","), (".tsv", "\t"), (".CSV", ",")])
def test_a_table_is_a_document_per_row(tmp_path: Path, ending: str, delimiter: str) -> None:
    rows = [[f"{number}", f"text {number}", f"2026-01-{number:02}"] for number in range(1, 11)]
    path = tmp_path / f"t{ending}"
    path.write_bytes(table([["id", "body", "date"], *rows], delimiter))
    with pytest.raises(CorpusError, match=r"line 2: no 'text' or 'content' among body, date, id; --text-col"):
        load_corpus(path)
    documents = read_documents(path, text_column="body").documents
    assert [document.text for document in documents] == [row[1] for row in rows]
    assert [document.published_at for document in documents] == [row[2] for row in rows]
    path.write_bytes(b"\xef\xbb\xbf" + table([["text"], ["one"], ["two"]], delimiter))
    assert [document.text for document in load_corpus(path).documents] == ["one", "two"]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(TEXT, min_size=1, max_size=4, unique=True), ending=st.sampled_from([".csv", ".tsv"]))
def test_any_text_survives_a_table(tmp_path: Path, rows: list[str], ending: str) -> None:
    path = tmp_path / f"t{ending}"
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter="\t" if ending == ".tsv" else ",", quoting=csv.QUOTE_ALL)
    writer.writerows([["text", "n"], *([text, "1"] for text in rows)])
    path.write_bytes(stream.getvalue().encode())
    assert texts(path) == rows


def test_a_long_text_in_a_table_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(table([["text"], ["a line\n" * 50_000]], ","))
    assert texts(path) == ["a line\n" * 50_000]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"text,date\na,b,2026-01-01\n", r"line 2: 3 fields under 2 columns; quote the text"),
        (b"text,date\na\n", r"line 2: 1 fields under 2 columns"),
        (b"text,text\na,b\n", r"line 1: two columns of one name"),
        (b'text,n\n"a" b,1\n', r"line 2: not valid CSV"),
        (b'text,n\n"a,1\n', r"not valid CSV: unexpected end of data"),
        (b"text\n\xff\n", r"not UTF-8 at byte 5"),
        (b"text\n", r"no documents"),
        (b"", r"no documents"),
        (b"%PDF-1.7\n", r"a PDF file"),
    ],
)
def test_a_broken_table_is_refused_with_the_place(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        load_corpus(tmp_path / "t.csv")


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_compressed_files_are_read_as_what_they_hold(tmp_path: Path, ending: str) -> None:
    compress = COMPRESSORS[ending]
    parquet = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two"]}), parquet)
    for name, data in (
        ("a.jsonl", b'{"text": "one"}\n"two"\n'),
        ("a.json", b'["one", "two"]'),
        ("a.csv", b"text\none\ntwo\n"),
        ("a.parquet", parquet.getvalue()),
    ):
        path = tmp_path / f"{name}{ending}"
        path.write_bytes(compress(data))
        assert texts(path) == ["one", "two"]
    (tmp_path / f"b.txt{ending}").write_bytes(compress(b"the text"))
    [document] = read_documents(tmp_path / f"b.txt{ending}").documents
    assert (document.text, document.title) == ("the text", "b.txt")
    # Two members, one after the other, are one file; and the name need not tell.
    (tmp_path / "c.txt").write_bytes(compress(b"the ") + compress(b"text"))
    assert texts(tmp_path / "c.txt") == ["the text"]
    name = f"/x/source_20260101to20260131.json{ending}"
    assert dates_of_file_name(name) == ("2026-01-01", "2026-01-31")
    assert name_of_input(name) == "source_20260101to20260131"


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_compressed_files_that_are_cut_or_damaged_are_refused(tmp_path: Path, ending: str) -> None:
    whole = COMPRESSORS[ending]("".join(f"line {number}\n" for number in range(500)).encode())
    path = tmp_path / f"a.txt{ending}"
    for length in range(1, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match=r"a\.txt\..*(damaged compressed data|not compressed as)"):
            read_documents(path)
    path.write_bytes(b"not compressed at all")
    with pytest.raises(CorpusError, match=f"not compressed as {ending} says"):
        read_documents(path)


NO_TEXT = {
    "a.pdf": (b"%PDF-1.4\n1 0 obj\n", "a PDF file, not a text; extract"),
    "a.ps": (b"%!PS-Adobe-3.0\n", "a PostScript file"),
    "a.rtf": (b"{\\rtf1\\ansi hello}", "an RTF file"),
    "a.zip": (b"PK\x03\x04\x14\x00\x00\x00", "a ZIP archive"),
    "a.docx": (b"PK\x03\x04\x14\x00\x06\x00", r"a ZIP archive or a file made of one \(.docx"),
    "a.gif": (b"GIF89a\x01\x00", "a GIF picture"),
    "a.bin": (b"\x7fELF\x02\x01\x01\x00", "a program"),
    "a.db": (b"SQLite format 3\x00", "an SQLite database"),
    "a.gguf": (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
    "a.arrow": (b"ARROW1\x00\x00", "an Arrow file"),
    "a.data": (b"PAR1\x15\x04\x15\x00", "name it .parquet"),
    "a.tar": (b"a.txt".ljust(257, b"\x00") + b"ustar\x00", "a tar archive"),
    "a.utf16": ("text".encode("utf-16"), "UTF-16 text, not a text; convert|UTF-16 text"),
    "a.html": (b"<p>No declaration</p>", "an HTML page, not a text"),
    "a.txt": (b"\xef\xbb\xbf\n<!-- x -->\n<!DOCTYPE html>\n<html>", "an HTML page, not a text"),
    "b.txt": (b"<html lang='en'><body>", "an HTML page, not a text"),
    "c.txt": (b"<?xml version='1.0'?>\n<html xmlns='x'>", "an HTML page, not a text"),
}


@pytest.mark.parametrize("name", NO_TEXT)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_what_is_no_text_is_refused_by_what_it_is(tmp_path: Path, name: str, ending: str) -> None:
    data, message = NO_TEXT[name]
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(gzip.compress(data) if ending else data)
    with pytest.raises(CorpusError, match=message) as caught:
        load_corpus(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "RIFF is a format, and so are ID3 and OggS.\n",
        "ID3 tags",
        "PAR1 of 3",
        "GGUF files",
        "BZh9 is how bzip2 starts.",
        "The <html> tag comes after <!DOCTYPE html>.",
        "<htmlish>",
        "\x00\x01\x02 control characters are text",
    ],
)
def test_a_text_about_formats_is_a_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert texts(tmp_path / "a.txt") == [text]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(
        [b"", *(data[:8] for data, _ in NO_TEXT.values()), *(c(b"x")[:6] for c in COMPRESSORS.values())]
    ),
    content=st.binary(max_size=40),
    name=st.sampled_from(["a.txt", "a.csv", "a.jsonl", "a.json", "a.gz", "a.zst", "a.parquet", "a"]),
)
def test_any_bytes_are_read_exactly_or_refused_in_one_line(
    tmp_path: Path, start: bytes, content: bytes, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(start + content)
    try:
        [*documents] = read_documents(path).documents
    except EvalkitError as error:
        assert "\n" not in str(error)
    else:
        if name in ("a.txt", "a"):
            assert [document.data for document in documents] == [start + content]


def test_one_unreadable_file_in_a_folder_is_left_out_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "sub" / "b.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"d"))
    (tmp_path / "e.csv").write_text("text\nx\n")
    (tmp_path / "settings.json").write_text("{}")
    imported = read_documents(tmp_path)
    assert [document.text for document in imported.documents] == ["a", "d", "{}"]
    assert imported.num_dropped == {
        "unreadable: c.txt: not UTF-8 at byte 3 (unexpected end of data); convert it or leave it out": 1,
        "table in a folder of texts": 1,
        "unreadable: sub/b.pdf: a PDF file, not a text; extract its text and give that": 1,
    }
    for number in range(30):
        (tmp_path / f"x{number}.pdf").write_bytes(b"%PDF-1.4")
    num_dropped = read_documents(tmp_path).num_dropped
    assert num_dropped["unreadable, not named"] == 32 - 20
    assert sum(count for reason, count in num_dropped.items() if "unreadable" in reason) == 32


def test_a_folder_of_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\nx\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'"a"'))
    with pytest.raises(UsageError, match="a folder of JSON or CSV files; give them one at a time"):
        read_documents(tmp_path)


def test_null_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": null}\nnull\n')
    pq.write_table(pa.table({"content": ["a", None, None]}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        imported = read_documents(tmp_path / name)
        assert [document.text for document in imported.documents] == ["a"]
        assert imported.num_dropped == {"null text": 2}


def test_what_has_not_come_is_refused(tmp_path: Path) -> None:
    tomorrow = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=2)).isoformat()
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "a", "date": "{tomorrow}"}}\n{{"text": "b", "date": "2026-01-02"}}\n')
    with pytest.raises(
        UsageError, match=f"--date-to {tomorrow} lies in the future; give a day that has come"
    ):
        import_corpus(path, "x", **STATED | {"date_from": tomorrow, "date_to": tomorrow}, store=tmp_path)
    imported = read_documents(path)
    assert [document.text for document in imported.documents] == ["b"]
    assert imported.num_dropped == {"dated in the future": 1}
    later = tmp_path / "x_29990101to29990131.json"
    later.write_text('["a"]')
    with pytest.raises(CorpusError, match="its name says that it is of 2999-01-31, which lies in the future"):
        load_corpus(later)


@pytest.mark.parametrize(
    ("license", "expression"),
    [
        ("cc-by-4.0", "CC-BY-4.0"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("LicenseRef-mine", "LicenseRef-mine"),
        ("LicenseRef-mine AND MIT", "LicenseRef-mine AND MIT"),
        ("public domain", "LicenseRef-public-domain"),
        ("my licence", None),
        ("proprietary", None),
        ("MIT OR mine", None),
        ("LicenseRef-my licence", None),
        ("", None),
        ("()", None),
        ("x" * 2000, None),
    ],
)
def test_a_license_is_an_spdx_expression(tmp_path: Path, license: str, expression: str | None) -> None:
    (tmp_path / "a.txt").write_text("a")
    if expression is None:
        with pytest.raises(UsageError, match=r"is no SPDX expression; give an identifier .* or LicenseRef-"):
            import_corpus(tmp_path / "a.txt", "x", **STATED | {"license": license}, store=tmp_path)
        return
    corpus = import_corpus(tmp_path / "a.txt", "x", **STATED | {"license": license}, store=tmp_path)
    assert corpus.manifest.licenses == {expression: 1}
