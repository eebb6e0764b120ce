import json
import os
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.corpora.importers import name_of_input, read_documents
from evalkit.corpora.readers import HubDataset, parse_hub_id
from evalkit.corpora.store import import_corpora, import_corpus, load_corpus, make_document, verify_corpus
from evalkit.errors import CorpusError, UsageError
from tests.support.toys import write_texts

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOLD: dict[str, Any] = {
    "source": "test",
    "license": "CC0-1.0",
    "date_from": "2026-01-01",
    "date_to": "2026-01-31",
}
ROWS = [
    {
        "content": "first\n",
        "category": "github_python",
        "url": "https://github.com/o/r/blob/abc/a.py",
        "date": "2026-07-01T10:00:00Z",
        "metadata": {"repo_language": "Python", "anything": [1, None]},
    },
    {
        "content": " second",
        "category": "bbc_news",
        "url": "https://www.bbc.com/news/articles/x",
        "date": "2026-07-15",
        "metadata": {"title": "t"},
    },
]


def texts(path: Path | str, **options: Any) -> list[str]:
    return [document.text for document in read_documents(path, **options).documents]


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(given_texts=st.lists(ANY_TEXT, min_size=1, unique=True), escaped=st.booleans())
def test_any_texts_survive_import_and_store(
    tmp_path_factory: pytest.TempPathFactory, given_texts: list[str], escaped: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / "texts.json"
    path.write_bytes(json.dumps(given_texts, ensure_ascii=escaped).encode())
    import_corpus(path, "any", **TOLD, store=folder / "store")
    loaded = load_corpus("any", store=folder / "store")
    assert [document.data for document in loaded.documents] == [text.encode() for text in given_texts]
    assert loaded.num_bytes == sum(len(text.encode()) for text in given_texts)


def test_uncheatable_eval_list_of_1000_texts(tmp_path: Path) -> None:
    given_texts = [f" Artikel {number}\r\n" + "ä" * (number % 7) for number in range(1000)]
    path = tmp_path / "wikipedia_german_20240801to20240831.json"
    path.write_text(json.dumps(given_texts, indent=4, ensure_ascii=False), encoding="utf-8", newline="")
    corpus = load_corpus(path)
    assert [document.text for document in corpus.documents] == given_texts
    assert corpus.num_bytes == sum(len(text.encode()) for text in given_texts)
    assert corpus.name == "wikipedia_german_20240801to20240831"
    assert (corpus.date_from, corpus.date_to) == ("2024-08-01", "2024-08-31")
    assert {document.published_at for document in corpus.documents} == {None}  # the day is not known
    assert corpus.manifest.licenses == {"unknown": 1000}


def test_uncheatable_eval_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "github_python_20260701to20260731.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    first, second = read_documents(path).documents
    assert (first.text, first.source, first.published_at) == (
        "first\n",
        "github_python",
        "2026-07-01T10:00:00Z",
    )
    assert first.cluster == "github.com/o/r"
    assert (second.text, second.source, second.published_at) == (" second", "bbc_news", "2026-07-15")
    assert second.cluster is None
    corpus = load_corpus(path)
    assert (corpus.date_from, corpus.date_to) == ("2026-07-01", "2026-07-15")  # of the texts, not the name
    assert read_documents(path, source="uncheatable").documents[0].source == "uncheatable"


def test_uncheatable_eval_hub_columns(tmp_path: Path) -> None:
    rows = [{**row, "metadata": json.dumps(row["metadata"]), "untruncated_content": "long"} for row in ROWS]
    rows.append({**rows[0], "content": "undated", "date": "None", "untruncated_content": "longer"})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    documents = read_documents(tmp_path / "test.parquet").documents
    assert [document.text for document in documents] == ["first\n", " second", "undated"]
    assert [document.published_at for document in documents] == ["2026-07-01T10:00:00Z", "2026-07-15", None]
    assert texts(tmp_path / "test.parquet", text_column="untruncated_content") == ["long", "longer"]


def test_jsonl_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes('{"text": "a\u2028b\u0085c"}\r\n\n"bare"\n{"text": "d"}'.encode())
    assert texts(path) == ["a\u2028b\u0085c", "bare", "d"]


def test_a_byte_order_mark_is_text_in_texts_and_none_in_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf["\xef\xbb\xbfa"]')
    assert texts(tmp_path / "a.json") == ["\ufeffa"]
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa")
    assert texts(tmp_path / "a.txt") == ["\ufeffa"]


def test_empty_and_repeated_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(["b", "", "a", "b", " ", "b", "a "]))
    imported = read_documents(path)
    assert [document.text for document in imported.documents] == ["b", "a", " ", "a "]
    assert imported.num_dropped == {"empty": 1, "exact duplicate": 2}
    assert len({document.id for document in imported.documents}) == 4
    assert imported.provenance["input"] == "a.json"
    assert len(imported.provenance["input_sha256"]) == 64
    corpus = import_corpus(path, "a", **TOLD)
    assert corpus.manifest.num_dropped == {"empty": 1, "exact duplicate": 2}


def test_ids_do_not_depend_on_the_neighbours(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["x", "y"]')
    (tmp_path / "b.json").write_text('["z", "y"]')
    assert (
        read_documents(tmp_path / "a.json").documents[1] == read_documents(tmp_path / "b.json").documents[1]
    )


def test_a_window_leaves_out_what_is_dated_outside(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    dates = ["2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "2026-01-31T23:59:59Z", "2026-02-01", None]
    path.write_text("".join(json.dumps({"text": f"{date}", "date": date}) + "\n" for date in dates))
    imported = read_documents(path, date_from="2026-01-01", date_to="2026-01-31")
    assert [document.text for document in imported.documents] == [dates[1], dates[2], "None"]
    assert imported.num_dropped == {"dated outside the window": 2}


def test_a_folder_of_texts(tmp_path: Path) -> None:
    for name, data in {
        "b.txt": b"b\r\n",
        "a/z.py": b"z",
        "a/.hidden": b"h",
        ".git/config": b"c",
        "a.txt": b"\ta ",
        "empty": b"",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle").symlink_to(tmp_path)
    imported = read_documents(tmp_path)
    assert [(document.title, document.data) for document in imported.documents] == [
        ("a.txt", b"\ta "),
        ("a/z.py", b"z"),
        ("b.txt", b"b\r\n"),
    ]
    assert imported.num_dropped == {
        "hidden folder": 1,
        "link to a folder": 1,
        "hidden file": 1,
        "not read: dangling: a link to nothing": 1,
        "empty": 1,
    }


def test_a_file_name_need_not_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.txt").write_bytes(b"x")
    corpus = import_corpus(tmp_path, "latin1", **TOLD)
    assert corpus.documents[0].title == "caf\ufffd.txt"
    assert verify_corpus("latin1") == []
    (tmp_path / "caf\udce9").mkdir()
    (tmp_path / "caf\udce9" / "a.txt").write_bytes(b"y")
    corpus = import_corpus(tmp_path / "caf\udce9", "latin1-folder", **TOLD)
    assert corpus.manifest.provenance["input"] == "caf\ufffd"
    assert verify_corpus("latin1-folder") == []
    (tmp_path / "caf\udce9.md").write_bytes(b"z")
    import_corpus(tmp_path / "caf\udce9.md", "latin1-alone", **TOLD)
    assert verify_corpus("latin1-alone") == []


def test_our_own_parquet_keeps_every_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": "x", "date": "2026-01-02", "title": "t", "license": "MIT", "cluster": "me"})
    )
    corpus = import_corpus(tmp_path / "a.jsonl", "one", **TOLD, language="en", store=tmp_path)
    [parquet] = (tmp_path / "one").glob("*.parquet")
    again = import_corpus(parquet, "two", store=tmp_path)
    assert again.documents == corpus.documents
    assert again.sha256 == corpus.sha256
    [document] = again.documents
    assert (document.license, document.cluster, document.language, document.title) == ("MIT", "me", "en", "t")
    forged = pq.read_table(parquet)
    forged = forged.set_column(1, forged.schema.field(1), [["y"]])
    pq.write_table(forged, tmp_path / "forged.parquet")
    with pytest.raises(CorpusError, match=r"forged\.parquet: row 1: its SHA-256 is"):
        read_documents(tmp_path / "forged.parquet")


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(2):
        table = pa.table({"text": [f"{number}a", f"{number}b"], "id": [1, 2], "embedding": [[0.5], [0.5]]})
        pq.write_table(table, tmp_path / "data" / f"part-{number}.parquet")
    (tmp_path / "README.md").write_text("about")
    imported = read_documents(tmp_path)
    assert [document.text for document in imported.documents] == ["0a", "0b", "1a", "1b"]
    assert imported.num_dropped == {"not a Parquet file": 1}


def test_typed_dates_in_parquet(tmp_path: Path) -> None:
    stamps = pa.array([1767312000_000, 1767312001_000], pa.timestamp("ms", tz="Europe/Berlin"))
    pq.write_table(pa.table({"text": ["a", "b"], "date": stamps}), tmp_path / "a.parquet")
    documents = read_documents(tmp_path / "a.parquet").documents
    assert [document.published_at for document in documents] == [
        "2026-01-02T00:00:00Z",
        "2026-01-02T00:00:01Z",
    ]


def test_a_saved_dataset_and_its_splits(tmp_path: Path) -> None:
    dataset = datasets.Dataset.from_dict({"text": [f"{number}\r\n" for number in range(1500)]})
    dataset.save_to_disk(tmp_path / "one")
    assert texts(tmp_path / "one") == [f"{number}\r\n" for number in range(1500)]
    datasets.DatasetDict({"train": dataset, "test": dataset.select([7])}).save_to_disk(tmp_path / "two")
    assert texts(tmp_path / "two", split="test") == ["7\r\n"]
    assert read_documents(tmp_path / "two", split="test").provenance["split"] == "test"
    for split in (None, "dev"):
        with pytest.raises(UsageError, match="give --split as one of train, test"):
            read_documents(tmp_path / "two", split=split)


BAD_JSON = {
    "not_utf8.json": (b'["a", "\xff"]', r"not UTF-8 at byte 7"),
    "not_utf8.jsonl": (b'"a"\n"\xe9"', r"line 2: not UTF-8 at byte 1"),
    "cut.json": (b'["a",\n "b"', r"not valid JSON: .*line 2"),
    "cut.jsonl": (b'{"text": "a"}\n{"text": "b', r"line 2: not valid JSON"),
    "trailing.jsonl": (b'{"text": "a"} x', r"line 1: not valid JSON: Extra data \(column 15\)"),
    "surrogate.json": (
        b'["ok", "ab\\ud800c"]',
        r"item 2: 'text' holds the lone surrogate .ud800 at character 2",
    ),
    "surrogate.jsonl": (b'{"content": "\\udfff"}', r"line 1: 'content' holds the lone surrogate"),
    "surrogate_url.jsonl": (b'{"content": "a", "url": "\\ud800"}', r"line 1: 'url' holds the lone surrogate"),
    "number.json": (b'["a", 1]', r"item 2: a number, neither"),
    "null.json": (b"[null]", r"no documents in it \(left out: 1 null text\)"),
    "scalar.json": (b'"text"', r"a text, not a list"),
    "type.jsonl": (b'{"text": ["a"]}', r"line 1: 'text' is a list, not a text"),
    "null.jsonl": (b'{"content": null}', r"no documents in it \(left out: 1 null text\)"),
    "url.jsonl": (b'{"content": "a", "url": 3}', r"line 1: 'url' is a number"),
    "column.jsonl": (b'{"body": "a"}', r"line 1: no 'text' or 'content' among body"),
    "date.jsonl": (b'{"text": "a", "date": "last week"}', r"line 1: 'date' is 'last week', not an ISO 8601"),
    "date_type.jsonl": (b'{"text": "a", "date": 2026}', r"line 1: 'date' is 2026"),
    "early.jsonl": (
        b'{"text": "a", "date": "0001-01-01T00:00:00+05:00"}',
        r"line 1: 'date' is '0001.*not an ISO",
    ),
    "deep.json": (b"[" * 100_000, r"not usable JSON"),
    "digits.json": (b"[" + b"9" * 5000 + b"]", r"not usable JSON"),
    "empty.json": (b"", r"no documents"),
    "empty_list.json": (b"[]", r"no documents"),
    "nothing_left.json": (b'["", ""]', r"no documents in it \(left out: 2 empty\)"),
    "not_utf8.txt": (b"abc\xff", r"not UTF-8 at byte 3"),
    "empty.txt": (b"", r"no documents in it \(left out: 1 empty\)"),
    "empty.parquet": (b"", r"not a readable Parquet file"),
    "text.parquet": (b"PAR1 is how it starts", r"not a readable Parquet file"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_input_gives_one_clear_line(tmp_path: Path, name: str) -> None:
    data, message = BAD_JSON[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=message) as caught:
        load_corpus(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()  # can be printed


def test_a_truncated_parquet_is_refused_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    pq.write_table(pa.table({"text": [f"text {number}" * 50 for number in range(100)]}), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 20)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match=r"cut\.parquet: not a readable Parquet file") as caught:
            read_documents(path)
        assert "\n" not in str(caught.value)


def test_parquet_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for column, message in (
        (pa.array([b"bytes", b"b"]), r"a\.parquet: row 1: 'text' is bytes"),
        (pa.array([1, 2]), r"a\.parquet: row 1: 'text' is a number"),
        (pa.array([["a"], ["b"]]), r"a\.parquet: row 1: 'text' is a list"),
    ):
        pq.write_table(pa.table({"text": column}), path)
        with pytest.raises(CorpusError, match=message):
            read_documents(path)
    pq.write_table(pa.table({"body": ["a"]}), path)
    with pytest.raises(CorpusError, match=r"row 1: no 'text' or 'content' among body; --text-column names"):
        read_documents(path)
    nowhere = pa.array([0], pa.timestamp("us", "Nowhere/Land"))
    for date in (nowhere, pa.array([1 << 62], pa.timestamp("us"))):
        pq.write_table(pa.table({"text": ["a"], "date": date}), path)
        with pytest.raises(CorpusError, match=r"a\.parquet: not a readable Parquet file"):
            read_documents(path)
    pq.write_table(pa.table({"body": ["a"]}), path)
    assert texts(path, text_column="body") == ["a"]
    with pytest.raises(CorpusError, match=r"row 1: no 'words'"):
        read_documents(path, text_column="words")
    not_utf8 = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"))
    pq.write_table(pa.table({"text": not_utf8}), path)
    with pytest.raises(CorpusError, match=r"a\.parquet: not a readable Parquet file.*UTF8"):
        read_documents(path)


def test_folders_that_hold_nothing_to_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="empty: no documents"):
        read_documents(tmp_path / "empty")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.json").write_text('["a"]')
    with pytest.raises(UsageError, match="one at a time"):
        read_documents(tmp_path / "lists")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "b.png").write_bytes(b"\x89PNG")
    with pytest.raises(
        CorpusError, match=r"no documents in it \(left out: 1 unreadable: b\.png: a PNG picture"
    ):
        read_documents(tmp_path / "pictures")
    dataset = datasets.Dataset.from_dict({"text": ["a"]})
    dataset.save_to_disk(tmp_path / "saved")
    [arrow] = (tmp_path / "saved").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:50])
    with pytest.raises(CorpusError, match="saved: not a readable datasets folder") as caught:
        read_documents(tmp_path / "saved")
    assert "\n" not in str(caught.value)
    with pytest.raises(CorpusError, match=r"gone\.json: it cannot be read: No such file"):
        read_documents(tmp_path / "gone.json")


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    for options, message in (
        ({"revision": COMMIT}, "--revision is for"),
        ({"split": "test"}, "--split is for"),
        ({"text_column": "body"}, "--text-column is for"),
        ({"date_from": "2026-01-01"}, "--date-to is missing"),
        ({"date_to": "2026-01-01"}, "--date-from is missing"),
        ({"date_from": "2026-01-02", "date_to": "2026-01-01"}, "is after"),
        ({"date_from": "1 Jan", "date_to": "2026-01-01"}, "--date-from '1 Jan' is not a day"),
        ({"date_from": "2026-01-01", "date_to": "20260102"}, "--date-to '20260102' is not a day"),
    ):
        with pytest.raises(UsageError, match=message):
            read_documents(tmp_path / "a.txt", **options)


def test_import_says_which_options_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "x_20260101to20260131.json"
    path.write_text('["a", {"text": "b", "source": "s", "license": "MIT", "date": "2026-01-05"}]')
    with pytest.raises(UsageError) as caught:
        import_corpus(path, "x")
    assert str(caught.value) == (
        f"{path}: the data do not say it: give --source (for 1 of 2 documents), "
        "--license (for 1 of 2 documents), --date-from and --date-to (for 1 of 2 documents)"
    )
    with pytest.raises(UsageError, match=r"give --license \(for 1 of 2 documents\)$"):
        import_corpus(path, "x", **{**TOLD, "license": None})
    corpus = import_corpus(path, "x", **TOLD)
    assert corpus.manifest.licenses == {"CC0-1.0": 1, "MIT": 1}
    assert (corpus.date_from, corpus.date_to) == ("2026-01-01", "2026-01-31")
    with pytest.raises(UsageError, match="built-in"):
        import_corpus(tmp_path / "never-read.json", "python-stdlib")


def test_hub_ids_must_name_a_commit() -> None:
    assert parse_hub_id(f"hub:o/n@{COMMIT}") == HubDataset("o/n", None, COMMIT)
    assert parse_hub_id(f"hub:o/n/c@{COMMIT}") == HubDataset("o/n", "c", COMMIT)
    assert parse_hub_id("hub:o/n", COMMIT) == HubDataset("o/n", None, COMMIT)
    for bad in ("hub:o/n", "hub:o/n@main", f"hub:o/n@{COMMIT[:39]}", f"hub:o/n@{COMMIT}0"):
        with pytest.raises(UsageError, match=r"write hub:o/n@COMMIT with the 40 hex digits"):
            parse_hub_id(bad)
    for bad in (f"hub:n@{COMMIT}", f"hub:/n@{COMMIT}", f"hub:a/b/c/d@{COMMIT}", "hub:"):
        with pytest.raises(UsageError, match="written hub:OWNER/NAME@REVISION"):
            parse_hub_id(bad)
    with pytest.raises(UsageError, match="another revision"):
        parse_hub_id(f"hub:o/n@{COMMIT}", "f" * 40)
    assert name_of_input(f"hub:o/news/2026-07@{COMMIT}") == "news-2026-07"


def test_a_hub_dataset_without_network_is_refused_in_one_line() -> None:
    with pytest.raises(
        CorpusError, match=f"hub:nobody/nothing@{COMMIT}: the Hub did not give it: "
    ) as caught:
        load_corpus(f"hub:nobody/nothing@{COMMIT}")
    assert "\n" not in str(caught.value)


def test_clusters_come_from_forge_urls(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    urls = ["https://github.com/o/r/blob/1/a", "https://github.com/O/r/blob/1/b", "https://example.org/o/r"]
    path.write_text("".join(json.dumps({"text": url, "url": url}) + "\n" for url in urls))
    clusters = [document.cluster for document in read_documents(path).documents]
    assert clusters == ["github.com/o/r", "github.com/o/r", None]


def test_a_lone_surrogate_is_no_document() -> None:
    with pytest.raises(UnicodeEncodeError):
        make_document("\ud800", source="test")


def test_endings_mean_the_same_in_capitals(tmp_path: Path) -> None:
    row = b'{"text": "a"}\n{"text": "b"}\n'
    (tmp_path / "WIKI_20240601TO20240615.JSONL").write_bytes(row)
    assert texts(tmp_path / "WIKI_20240601TO20240615.JSONL") == ["a", "b"]
    pq.write_table(pa.table({"text": ["c"]}), tmp_path / "C.PARQUET")
    assert texts(tmp_path / "C.PARQUET") == ["c"]


def test_pipes_are_refused_before_they_are_emptied(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(
        CorpusError, match=r"pipe\.jsonl: it is a pipe or a device; write its content to a file"
    ):
        read_documents(tmp_path / "pipe.jsonl")


def test_a_license_of_blanks_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "license": "  ", "source": "\\t"}')
    with pytest.raises(UsageError, match=r"give --source \(for 1 of 1 documents\), --license"):
        import_corpus(tmp_path / "a.jsonl", "blank", date_from="2026-11-01", date_to="2026-11-02")


LICENSES = {
    "MIT": "MIT",
    "mit or apache-2.0": "MIT OR Apache-2.0",
    "http://creativecommons.org/licenses/by/4.0/": "CC-BY-4.0",
    "LicenseRef-my-terms": "LicenseRef-my-terms",
    "unknown": None,
    "NOASSERTION": None,
}


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_licenses_of_rows_are_expressions_as_that_of_the_option(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    rows = [{"text": f"text {number}", "license": license} for number, license in enumerate(LICENSES)]
    _write_rows(path, rows)
    assert [document.license for document in read_documents(path).documents] == list(LICENSES.values())
    for license in ("my licence", "CC BY", "all rights reserved", "MIT OR other"):
        _write_rows(path, [*rows, {"text": "last", "license": license}])
        with pytest.raises(CorpusError) as refusal:
            read_documents(path, license="MIT")
        message = str(refusal.value)
        assert re.search(rf"a\.{ending}:? (line|row) \d+: ", message), message
        assert f"'license' {license!r} is no SPDX expression; give an identifier of" in message


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        path.write_text("text,license\n" + "".join(f"{row['text']},{row['license']}\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)


def test_an_option_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """A misspelt one would otherwise leave documents without what it says."""
    path = write_texts(tmp_path / "texts.json", ["a", "b"])
    with pytest.raises(TypeError, match="no such options of reading: licence"):
        read_documents(path, licence="MIT")
    with pytest.raises(TypeError, match="no such options of reading: dateto"):
        import_corpora(path, "texts", "category", dateto="2026-11-01")
