import dataclasses
import datetime as dt
import hashlib
import json
import pickle
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.corpora.stdlib import release_date
from evalkit.corpora.store import (
    Corpus,
    check_corpus_name,
    list_corpora,
    load_corpus,
    make_corpus,
    make_document,
    read_manifest,
    repository_of_url,
    save_corpus,
    store_folder,
    verify_corpus,
)
from evalkit.corpora.tables import document_columns, document_of, document_row, documents_of
from evalkit.dates import utc_date
from evalkit.errors import CorpusError, UsageError
from evalkit.files import TEMPORARY_SUFFIX, strict_json

AWKWARD_TEXTS = [
    "plain",
    " \tleading\r\nCRLF\rCR\n",
    "\ufeffBOM",
    "e\u0301 is not \u00e9",
    "\u2028\x00\x1f",
    "\U0001d518\U0010ffff",
]


def corpus_of(*texts: str, name: str = "sample") -> Corpus:
    documents = [
        make_document(text, source="test", license="CC0-1.0", published_at=f"2026-01-{day:02}")
        for day, text in enumerate(texts, start=1)
    ]
    return make_corpus(name, documents)


def parquet_of(folder: Path) -> Path:
    [path] = folder.glob("*.parquet")
    return path


def test_a_document_counts_and_hashes_its_utf8_bytes() -> None:
    document = make_document(
        "é€\U0001d518\r\n", source="test", url="https://github.com/Python/CPython/blob/main/a.py"
    )
    assert document.data == b"\xc3\xa9\xe2\x82\xac\xf0\x9d\x94\x98\r\n"
    assert document.num_bytes == 11
    assert document.sha256 == hashlib.sha256(document.data).hexdigest()
    assert document.id == document.sha256[:16]
    assert document.cluster == "github.com/python/cpython"


def test_the_digest_is_over_ordered_ids_and_digests() -> None:
    corpus = corpus_of("a", "b")
    first, second = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b"))
    lines = f"{first[:16]} {first}\n{second[:16]} {second}\n"
    assert corpus.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert corpus.sha256 != corpus_of("b", "a").sha256


def test_a_second_digest_is_over_all_that_is_said_of_the_texts() -> None:
    document = make_document("text", source="x")
    names = {field.name for field in dataclasses.fields(document)} - {"context", "choices"}  # in the sha256
    values: dict[str, object] = dict.fromkeys(sorted(names), "2026-11-01")
    values |= {"id": "other", "text": "another", "num_bytes": 5, "sha256": "0" * 64}
    digests = {make_corpus("c", [document]).manifest.records_sha256}
    for name, value in values.items():
        changed = dataclasses.replace(document, **{name: value})  # type: ignore[arg-type]
        corpus = make_corpus("c", [changed])
        assert (corpus.sha256 == make_corpus("c", [document]).sha256) == (name not in ("id", "sha256"))
        digests.add(corpus.manifest.records_sha256)
    assert len(digests) == len(values)  # a text stands in it by its own digest
    pair = [document, dataclasses.replace(document, id="b", title="b")]
    assert len({make_corpus("c", order).manifest.records_sha256 for order in (pair, pair[::-1])}) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "second"}, "id 'second' is used twice or holds white space"),
        ({"id": "two words"}, "holds white space"),
        ({"num_bytes": 3}, "its text is not the one that was stored"),
        ({"published_at": "2026-02-30"}, "published_at '2026-02-30' is neither YYYY-MM-DD nor"),
        ({"fetched_at": "soon"}, "fetched_at 'soon' is neither"),
        ({"title": "another"}, "manifest.json: records_sha256 is"),
    ],
)
def test_every_column_of_a_stored_corpus_is_verified(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    """Whoever changes the table makes its digests fit again: all but what the documents' own fields say."""
    documents = [
        make_document("first", source="x", id="first"),
        make_document("second", source="x", id="second"),
    ]
    folder = save_corpus(make_corpus("sample", documents), tmp_path)
    [path] = folder.glob("*.parquet")
    table = pq.read_table(path)
    for name, value in changes.items():
        column = pa.array([value, *table[name].to_pylist()[1:]], table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    pq.write_table(table, path)
    fields = json.loads((folder / "manifest.json").read_bytes())
    del fields["manifest_sha256"]
    fields["parquet_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    fields["manifest_sha256"] = hashlib.sha256(strict_json(fields).encode()).hexdigest()
    (folder / "manifest.json").write_text(strict_json(fields))
    assert any(says in problem for problem in verify_corpus("sample", tmp_path))
    with pytest.raises(CorpusError, match="import it again under another name"):
        load_corpus("sample", store=tmp_path)


def test_counts_and_dates_follow_from_the_documents() -> None:
    documents = [
        make_document("one", source="x", license="MIT", published_at="2026-03-02T23:59:59Z"),
        make_document("zwei€", source="y", published_at="2026-03-01"),
        make_document("three", source="x", license="MIT", published_at="2026-03-05"),
    ]
    manifest = make_corpus("mixed", documents).manifest
    assert (manifest.num_documents, manifest.num_bytes) == (3, 3 + 7 + 5)
    assert (manifest.date_from, manifest.date_to) == ("2026-03-01", "2026-03-05")
    assert manifest.sources == {"x": 2, "y": 1}
    assert manifest.licenses == {"MIT": 2, "unknown": 1}


def test_one_undated_document_leaves_the_corpus_undated() -> None:
    documents = [make_document("a", source="x", published_at="2026-03-02"), make_document("b", source="x")]
    corpus = make_corpus("half", documents)
    assert (corpus.date_from, corpus.date_to) == (None, None)
    corpus = make_corpus("half", documents, date_from="2026-03-01", date_to="2026-03-31")
    assert (corpus.date_from, corpus.date_to) == ("2026-03-01", "2026-03-31")


def test_what_is_no_corpus_is_refused() -> None:
    document = make_document("a", source="x")
    with pytest.raises(CorpusError, match="no documents"):
        make_corpus("none", [])
    with pytest.raises(CorpusError, match="used twice"):
        make_corpus("twice", [document, document])
    with pytest.raises(CorpusError, match="white space"):
        make_corpus("spaced", [make_document("a", source="x", id="a b")])
    with pytest.raises(CorpusError, match="published_at '3 March 2026'"):
        make_corpus("dated", [make_document("a", source="x", published_at="3 March 2026")])
    with pytest.raises(UsageError, match=r"'a/b'.*'a-b' would be"):
        make_corpus("a/b", [document])


def test_a_limit_keeps_the_first_documents() -> None:
    corpus = corpus_of("aa", "bbb", "c")
    limited = corpus.limited(2)
    assert [document.text for document in limited.documents] == ["aa", "bbb"]
    assert (limited.num_bytes, limited.manifest.num_documents) == (5, 2)
    assert limited.sha256 == corpus_of("aa", "bbb").sha256 != corpus.sha256
    assert limited.name == corpus.name
    assert corpus.limited(3) is corpus
    for limit in (0, -1):
        with pytest.raises(UsageError, match=f"--limit {limit} leaves no document"):
            corpus.limited(limit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", "2026-03-01"),
        ("20260301", "2026-03-01"),
        ("2026-03-01T00:30:00Z", "2026-03-01T00:30:00Z"),
        ("2026-03-01T00:30:00+02:00", "2026-02-28T22:30:00Z"),
        ("2026-03-01T10:00:00.123456+00:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01T23:59:59", "2026-03-01"),
        ("0001-01-01T00:00:00", "0001-01-01"),  # .NET's null
        ("0999-12-31T23:59:59Z", "0999-12-31T23:59:59Z"),
    ],
)
def test_dates_become_days_or_utc_times(text: str, expected: str) -> None:
    assert utc_date(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "March",
        "2026-13-01",
        "2026-02-30",
        "Wed, 03 Dec 2025 10:00:00",
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        utc_date(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/Owner/Repo/blob/abc/f.py", "github.com/owner/repo"),
        ("https://www.github.com/owner/repo", "github.com/owner/repo"),
        ("https://raw.githubusercontent.com/owner/repo/abc/f.py", "github.com/owner/repo"),
        ("https://gitlab.com/group/sub/project/-/blob/main/f", "gitlab.com/group/sub/project"),
        ("https://gitlab.gnome.org/GNOME/gtk", "gitlab.gnome.org/gnome/gtk"),
        ("https://huggingface.co/owner/model/resolve/main/README.md", "huggingface.co/owner/model"),
        ("https://huggingface.co/datasets/owner/data", "huggingface.co/datasets/owner/data"),
        ("https://github.com/owner", None),
        ("https://github.com.example.org/owner/repo", None),
        ("https://arxiv.org/abs/2601.00001", None),
        ("https://[broken/owner/repo", None),
        ("", None),
        (None, None),
    ],
)
def test_repositories_are_clusters(url: str | None, expected: str | None) -> None:
    assert repository_of_url(url) == expected


def test_a_stored_corpus_comes_back_the_same(tmp_path: Path) -> None:
    corpus = corpus_of(*AWKWARD_TEXTS)
    folder = save_corpus(corpus, tmp_path)
    loaded = load_corpus("sample", store=tmp_path)
    assert loaded.documents == corpus.documents
    assert loaded.sha256 == corpus.sha256
    assert (loaded.date_from, loaded.date_to) == ("2026-01-01", "2026-01-06")
    assert load_corpus(folder).documents == corpus.documents  # by path as well
    assert verify_corpus("sample", tmp_path) == []
    assert parquet_of(folder).name == f"documents-{loaded.manifest.parquet_sha256[:16]}.parquet"  # type: ignore[index]


def test_documents_that_passed_the_checks_are_read_at_the_first_look(tmp_path: Path) -> None:
    corpus = corpus_of(*AWKWARD_TEXTS)
    folder = save_corpus(corpus, tmp_path)
    load_corpus("sample", store=tmp_path)
    loaded, unread = (load_corpus("sample", store=tmp_path) for _ in range(2))
    assert (loaded.documents[-1], loaded.documents[:2]) == (corpus.documents[-1], corpus.documents[:2])
    parquet_of(folder).write_bytes(b"")
    assert (len(unread.documents), unread.has_contexts) == (len(AWKWARD_TEXTS), False)
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    with pytest.raises(
        CorpusError, match=r"documents-.*\.parquet was changed while it was in use; run again"
    ):
        list(unread.documents)


def test_datasets_reads_the_stored_file(tmp_path: Path) -> None:
    folder = save_corpus(corpus_of(*AWKWARD_TEXTS), tmp_path)
    dataset = datasets.load_dataset(
        "parquet", data_files=str(parquet_of(folder)), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert list(dataset["text"]) == AWKWARD_TEXTS
    assert list(dataset["num_bytes"]) == [len(text.encode()) for text in AWKWARD_TEXTS]


def test_the_same_documents_give_the_same_file(tmp_path: Path) -> None:
    first = parquet_of(save_corpus(corpus_of(*AWKWARD_TEXTS), tmp_path / "a"))
    second = parquet_of(save_corpus(corpus_of(*AWKWARD_TEXTS), tmp_path / "b"))
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_the_store_is_the_argument_the_variable_or_the_folder_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert save_corpus(corpus_of("a")) == Path("corpora/sample")
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "elsewhere"))
    assert store_folder() == tmp_path / "elsewhere"
    assert list_corpora() == ["python-stdlib"]
    assert store_folder(tmp_path) == tmp_path


def test_a_name_is_never_given_to_something_else(tmp_path: Path) -> None:
    folder = save_corpus(corpus_of("a", "b"), tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert save_corpus(corpus_of("a", "b"), tmp_path) == folder
    with pytest.raises(CorpusError, match=r"holds other documents.*choose another name"):
        save_corpus(corpus_of("a", "b", "c"), tmp_path)
    relicensed = [make_document(text, source="test", license="MIT") for text in ("a", "b")]
    with pytest.raises(CorpusError, match=r"another published_at and license"):
        save_corpus(make_corpus("sample", relicensed), tmp_path)
    redated = make_corpus(
        "sample", corpus_of("a", "b").documents, date_from="2020-01-01", date_to="2026-02-01"
    )
    with pytest.raises(CorpusError, match=r"dated 2026-01-01 to 2026-01-02, not 2020-01-01 to 2026-02-01"):
        save_corpus(redated, tmp_path)
    with pytest.raises(UsageError, match="built-in"):
        save_corpus(corpus_of("a", name="python-stdlib"), tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_fetching_again_is_no_difference(tmp_path: Path) -> None:
    for fetched_at in ("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"):
        document = make_document("a", source="test", fetched_at=fetched_at)
        save_corpus(make_corpus("sample", [document]), tmp_path)
    assert load_corpus("sample", store=tmp_path).documents[0].fetched_at == "2026-02-01T00:00:00Z"


def test_any_flipped_byte_of_the_parquet_is_found(tmp_path: Path) -> None:
    folder = save_corpus(corpus_of(*AWKWARD_TEXTS), tmp_path)
    path = parquet_of(folder)
    whole = path.read_bytes()
    for position in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[position] ^= 0x40
        path.write_bytes(damaged)
        assert any("SHA-256" in problem for problem in verify_corpus("sample", tmp_path))
        with pytest.raises(CorpusError, match=path.name) as caught:
            load_corpus("sample", store=tmp_path)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole[: len(whole) // 2])
    assert len(verify_corpus("sample", tmp_path)) == 2  # another digest, and not readable
    path.unlink()
    [problem] = verify_corpus("sample", tmp_path)
    assert problem == f"{path.name}: it cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("key", "value", "num_problems"),
    [
        ("date_from", "2027-01-01", 1),
        ("licenses", {"MIT": 2}, 2),
        ("num_bytes", 3, 2),
        ("sha256", "0" * 64, 2),
        ("parquet_sha256", "0" * 64, 2),
        ("name", "other", 2),
        ("schema_version", 5, 1),
        ("surprise", 1, 1),
        ("num_bytes", float("nan"), 1),
    ],
)
def test_an_edited_manifest_is_found(tmp_path: Path, key: str, value: object, num_problems: int) -> None:
    path = save_corpus(corpus_of("a", "b"), tmp_path) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert len(verify_corpus("sample", tmp_path)) == num_problems
    with pytest.raises(CorpusError, match="sample") as caught:
        load_corpus("sample", store=tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(CorpusError, match=r"manifest\.json"):
        read_manifest("sample", tmp_path)


def test_a_manifest_may_be_laid_out_anew(tmp_path: Path) -> None:
    path = save_corpus(corpus_of("a"), tmp_path) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert verify_corpus("sample", tmp_path) == []


def test_a_forged_text_is_found_by_its_own_digest(tmp_path: Path) -> None:
    folder = save_corpus(corpus_of("a", "b"), tmp_path)
    path = parquet_of(folder)
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, table.schema.field(1), [["a", "B"]]), path)
    problems = verify_corpus("sample", tmp_path)
    assert len(problems) == 2
    assert "SHA-256" in problems[0]
    assert hashlib.sha256(b"b").hexdigest()[:16] in problems[1]


def test_a_parquet_that_the_manifest_does_not_name_is_found(tmp_path: Path) -> None:
    folder = save_corpus(corpus_of("a"), tmp_path)
    (folder / "documents-0123456789abcdef.parquet").write_bytes(b"left over")
    assert verify_corpus("sample", tmp_path) == [
        "documents-0123456789abcdef.parquet: the manifest does not name this file"
    ]
    assert load_corpus("sample", store=tmp_path).num_bytes == 1


def test_a_broken_manifest_names_its_file(tmp_path: Path) -> None:
    path = save_corpus(corpus_of("a"), tmp_path) / "manifest.json"
    for content in ("", "[]", '{"schema_version": 1', "null"):
        path.write_text(content)
        [problem] = verify_corpus("sample", tmp_path)
        assert problem.startswith("manifest.json: ")


def test_unknown_names_are_refused_with_near_ones(tmp_path: Path) -> None:
    save_corpus(corpus_of("a", name="news-2026-01"), tmp_path)
    message = r"unknown corpus 'news-2026-10'. Did you mean news-2026-01\?"
    with pytest.raises(UsageError, match=message) as caught:
        check_corpus_name("news-2026-10", tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=message):
        load_corpus("news-2026-10", store=tmp_path)
    with pytest.raises(UsageError, match=r"Did you mean python-stdlib\?"):
        check_corpus_name("python-stlib", tmp_path)
    with pytest.raises(UsageError, match=r"missing/news\.json: no such file or folder"):
        check_corpus_name("missing/news.json", tmp_path)
    with pytest.raises(UsageError, match=r"news\.json: no such file or folder"):
        check_corpus_name("news.json", tmp_path)
    with pytest.raises(UsageError, match="40 hex digits"):
        check_corpus_name("hub:owner/name", tmp_path)
    for name in ("news-2026-01", "python-stdlib", str(tmp_path), "hub:owner/name@" + "0" * 40):
        check_corpus_name(name, tmp_path)
    for name in ("nothing", "../sample", ""):
        with pytest.raises(UsageError, match="unknown corpus"):
            verify_corpus(name, tmp_path)


def test_names_are_listed_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        save_corpus(corpus_of("x", name=name), tmp_path)
    (tmp_path / "no-corpus").mkdir()
    assert list_corpora(tmp_path) == ["python-stdlib", "a", "b"]
    assert read_manifest("a", tmp_path).num_documents == 1


SAVE_MANY = """
import itertools, pathlib, sys
from evalkit.corpora.store import make_corpus, make_document, save_corpus
for number in itertools.count():
    document = make_document(f"{number} " * 20000, source="test")
    save_corpus(make_corpus(f"c{number}", [document]), pathlib.Path(sys.argv[1]))
    print(number, flush=True)
"""


@pytest.mark.parametrize("num_saved", [1, 4, 9])
def test_a_killed_writer_leaves_no_manifest_without_its_documents(tmp_path: Path, num_saved: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SAVE_MANY, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(num_saved):
            process.stdout.readline()
        process.kill()
    names = list_corpora(tmp_path)[1:]
    assert len(names) >= num_saved
    for name in names:
        assert verify_corpus(name, tmp_path) == []
    # What the kill left half done is no obstacle.
    for number in range(num_saved + 2):
        document = make_document(f"{number} " * 20000, source="test")
        save_corpus(make_corpus(f"c{number}", [document]), tmp_path)
        assert verify_corpus(f"c{number}", tmp_path) == []


def test_documents_without_a_manifest_are_no_corpus(tmp_path: Path) -> None:
    folder = save_corpus(corpus_of("a"), tmp_path)
    (folder / "manifest.json").unlink()
    assert list_corpora(tmp_path) == ["python-stdlib"]
    with pytest.raises(UsageError, match="unknown corpus 'sample'"):
        load_corpus("sample", store=tmp_path)
    save_corpus(corpus_of("a"), tmp_path)
    assert verify_corpus("sample", tmp_path) == []


def test_what_a_killed_writer_left_goes_when_the_corpus_is_stored(tmp_path: Path) -> None:
    """A second crawl of the same texts is of another time: its table has another digest, and another name."""
    folder = save_corpus(corpus_of("a"), tmp_path)
    (folder / "manifest.json").unlink()
    [leftover] = folder.glob("documents-*.parquet")
    (folder / f".manifest.json.ab12cd34{TEMPORARY_SUFFIX}").write_text("{")
    (folder / "dropped.jsonl").write_text("stays")
    save_corpus(corpus_of("b"), tmp_path)
    assert not leftover.exists() and verify_corpus("sample", tmp_path) == []
    assert len(list(folder.iterdir())) == 3


SAVE_ONE = """
import pathlib, sys
from evalkit.corpora.store import make_corpus, make_document, save_corpus
import pyarrow.parquet
corpus = make_corpus("contested", [make_document(sys.argv[2], source="test")])
print("ready", flush=True)
sys.stdin.readline()
save_corpus(corpus, pathlib.Path(sys.argv[1]))
"""


def test_of_two_writers_of_one_name_one_is_refused(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", SAVE_ONE, str(tmp_path), text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for text in ("first", "second")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    errors = [writer.communicate()[1] for writer in writers]
    assert sorted(writer.returncode for writer in writers) == [0, 1]
    assert sum("holds other documents under this name" in error for error in errors) == 1
    assert verify_corpus("contested", tmp_path) == []


def test_the_standard_library_corpus_is_the_files_on_disk() -> None:
    corpus = load_corpus("python-stdlib")
    root = Path(sysconfig.get_path("stdlib"))
    for document in corpus.documents:
        assert document.title is not None
        assert (root / document.title).read_bytes() == document.data
        assert 0 < document.num_bytes <= 32768
        assert document.cluster == document.title.removesuffix(".py").split("/")[0]
    assert 360_000 < corpus.num_bytes <= 400_000
    assert 20 <= len(corpus.documents) <= 70
    assert len({document.cluster for document in corpus.documents}) >= 15
    titles = {document.title for document in corpus.documents}
    assert not any("test" in str(title).split("/") or "site-packages" in str(title) for title in titles)
    assert corpus.date_from == corpus.date_to == corpus.documents[0].published_at == release_date(root)


RELEASES = {  # python.org/downloads
    "3.11.2": "2023-02-08",
    "3.11.7": "2023-12-04",
    "3.12.3": "2024-04-09",
    "3.13.0": "2024-10-07",
}


def test_the_standard_library_is_dated_by_the_release(tmp_path: Path) -> None:
    day = release_date(Path(sysconfig.get_path("stdlib")))
    version = platform.python_version()
    assert day is not None
    announced = dt.date.fromisoformat(RELEASES.get(version, day))
    assert abs(dt.date.fromisoformat(day) - announced).days <= 2  # made, and then announced
    assert "2022-10-24" <= day <= dt.datetime.now(dt.UTC).date().isoformat()  # 3.11.0's, and today
    topics = tmp_path / "pydoc_data" / "topics.py"
    topics.parent.mkdir()
    assert release_date(tmp_path) is None
    topics.write_text("# Autogenerated by Sphinx on Tue Oct  7 12:00:00 2025\n", encoding="utf-8")
    assert release_date(tmp_path) == "2025-10-07"
    topics.write_text("# Autogenerated by Sphinx on some day\n", encoding="utf-8")
    assert release_date(tmp_path) is None


def test_the_standard_library_corpus_is_always_the_same() -> None:
    first, second = load_corpus("python-stdlib"), load_corpus("python-stdlib")
    assert first == second
    code = "import evalkit; print(evalkit.load_corpus('python-stdlib').sha256)"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert elsewhere.stdout == f"{first.sha256}\n"
    assert verify_corpus("python-stdlib") == []


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CorpusError, match=r"corpus sample: .*file/sample cannot be written: Not a directory"):
        save_corpus(corpus_of("a"), tmp_path / "file")


def test_documents_of_a_table_are_those_that_its_rows_make() -> None:
    """Of several pieces, of a slice, with null, with letters of several bytes, and with choices."""
    documents = [
        make_document("a text", source="s", title="ein Titel", published_at="2026-10-01"),
        make_document("文字 é", source="s", url="https://a.b/c", license="CC0-1.0"),
        make_document("", source="s", id="empty"),
        make_document("b", source="é", context="which?", choices=["a", "b"]),
    ]
    schema = pa.schema(document_columns())
    table = pa.Table.from_pylist([document_row(document) for document in documents], schema=schema)
    for part in (table, table.slice(1, 2), pa.concat_tables([table.slice(3), table.slice(0, 1)]), table[:0]):
        assert documents_of(part) == [document_of(row) for row in part.to_pylist()]
