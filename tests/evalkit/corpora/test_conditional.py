"""Documents with a context and with choices: out of which rows they are read, and that they are kept."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evalkit.corpora.document import make_corpus, make_document
from evalkit.corpora.importers import ReadOptions, read_documents
from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.published import read_dataset
from evalkit.corpora.store import load_corpus, save_corpus, verify_corpus
from evalkit.errors import CorpusError

CHOICES = [" blue", " green", " red"]


def write(folder: Path, *rows: object) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        ({"context": "a", "continuation": " b"}, {}, ("a", " b", None)),
        ({"prompt": "a", "completion": " b"}, {}, ("a", " b", None)),
        ({"prompt": "a", "completion": " b", "context": "z"}, {}, ("a", " b", None)),
        ({"context": "", "continuation": " b"}, {}, (None, " b", None)),
        ({"context": None, "continuation": " b"}, {}, (None, " b", None)),
        ({"context": "a", "text": "b"}, {}, (None, "b", None)),  # it may be anything
        ({"context": "a", "text": "b"}, {"context_column": "context"}, ("a", "b", None)),
        ({"q": "a", "a": "b"}, {"context_column": "q", "text_column": "a"}, ("a", "b", None)),
        ({"question": "a", "choices": CHOICES, "gold": 1}, {}, ("a", " green", tuple(CHOICES))),
        ({"context": "a", "choices": CHOICES, "answer": " red"}, {}, ("a", " red", tuple(CHOICES))),
        ({"choices": CHOICES, "label": 0}, {}, (None, " blue", tuple(CHOICES))),
        ({"question": "a", "choices": CHOICES, "answer": "C"}, {}, ("a", " red", tuple(CHOICES))),
        ({"question": "a", "choices": CHOICES, "label": 2.0}, {}, ("a", " red", tuple(CHOICES))),
        (
            {"question": "a", "choices": [{"text": text, "gold": text == " red"} for text in CHOICES]},
            {},
            ("a", " red", tuple(CHOICES)),
        ),
    ],
)
def test_rows_say_what_stands_before_a_text(
    tmp_path: Path, row: object, options: ReadOptions, expected: tuple[str | None, str, object]
) -> None:
    [document] = read_documents(write(tmp_path, row), **options).documents
    assert (document.context, document.text, document.choices) == expected
    assert document.num_bytes == len(expected[1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": [{"role": "user"}], "completion": "b"},
            "'prompt' is a list, not a text; evalkit requests",
        ),
        ({"question": "a", "choices": CHOICES}, "line 1: no choice is marked as the right one"),
        ({"question": "a", "choices": CHOICES, "gold": 3}, "'gold' is 3, neither text, label, number"),
        ({"question": "a", "choices": CHOICES, "gold": True}, "'gold' is True, neither text, label"),
        ({"question": "a", "choices": CHOICES, "gold": -1}, "line 1: no choice is marked as the right one"),
        ({"question": "a", "choices": [" a", 2], "gold": 0}, "'choices' is a list of a number and a text"),
        ({"question": "a", "choices": [" a", ""], "gold": 0}, "a list of a text and an empty text"),
        ({"question": "a", "choices": [" a"], "gold": 0}, "'choices' has 1; at least two"),
        ({"question": "a", "choices": [" a", " a"], "gold": 0}, "' a' stands twice among the choices"),
        ({"context": "\ud800", "continuation": "b"}, "'context' holds the lone surrogate"),
    ],
)
def test_rows_that_do_not_are_refused(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(CorpusError, match=message.replace("[", "\\[")):
        read_documents(write(tmp_path, row))


def test_a_context_is_part_of_what_is_digested_and_a_plain_text_is_as_ever() -> None:
    plain = make_document("b", source="x")
    assert plain.sha256 == hashlib.sha256(b"b").hexdigest()
    parts = [
        ("b", "a", None),
        ("ab", None, None),
        ("b", "aa", None),
        ("b", "a", ("b", "c")),
        ("b", "a", ("c", "b")),
        ("b", None, ("b", "c")),
    ]
    documents = [make_document(text, source="x", context=c, choices=choices) for text, c, choices in parts]
    assert len({document.sha256 for document in [plain, *documents]}) == 7
    framed = b"\xff" + bytes(7) + b"\1a" + bytes(7) + b"\1b"
    assert documents[0].sha256 == hashlib.sha256(framed).hexdigest()
    assert documents[0].cluster == documents[3].cluster is not None and plain.cluster is None
    assert (documents[0].num_bytes, documents[0].num_read_bytes) == (1, 2)


def test_a_corpus_with_contexts_is_stored_read_and_published(tmp_path: Path) -> None:
    rows = (
        {"context": "a", "continuation": " b", "license": "CC0-1.0"},
        {"context": "c", "continuation": " b", "license": "CC0-1.0"},
        {"prompt": "c", "choices": CHOICES, "gold": 2, "license": "CC0-1.0"},
    )
    imported = read_documents(write(tmp_path, *rows), source="x")
    corpus = imported.corpus("pairs", "read from")
    assert len(corpus.documents) == 3  # the same text after another context is no repetition
    save_corpus(corpus, tmp_path)
    assert load_corpus("pairs", store=tmp_path).documents == corpus.documents
    assert verify_corpus("pairs", tmp_path) == []
    [table] = (tmp_path / "pairs").glob("*.parquet")
    assert read_documents(table).documents == list(corpus.documents)
    prepare_dataset(corpus, "me/pairs", tmp_path / "published")
    assert list(read_dataset(tmp_path / "published").documents.values()) == list(corpus.documents)
    secret = [dataclasses.replace(corpus.documents[0], license="LicenseRef-x", url="https://example.org")]
    with pytest.raises(CorpusError, match="or a context that no URL gives"):
        prepare_dataset(make_corpus("secret", secret), "me/secret", tmp_path / "secret")
    plain = make_corpus("plain", [make_document("b", source="x")])
    save_corpus(plain, tmp_path)
    [table] = (tmp_path / "plain").glob("*.parquet")
    assert not {"context", "choices"} & set(pq.read_schema(table).names)
