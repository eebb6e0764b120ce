"""Uncheatable Eval's sets: a dataset of their format on a local hub becomes a corpus of each category."""

import io
import json
import lzma
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.corpora.sets import UNCHEATABLE_SETS, SetSelection, parse_set_name
from evalkit.corpora.store import check_corpus_name
from evalkit.errors import UsageError
from tests.support.dataset_hub import serve_datasets
from tests.support.hub_server import hub_environment
from tests.support.toys import PATIENCE_S

JULY = UNCHEATABLE_SETS["uncheatable-2026-07"]
CATEGORIES = JULY.categories
OLDER, NEWEST = "1" * 40, "2" * 40


def table(categories: tuple[str, ...], mark: str = "") -> bytes:
    """A table of the format of the hub's sets: two documents of each category, in turns."""
    rows = [
        {
            "content": f"{mark}{category} ä{number}\n" * (1 + place),
            "untruncated_content": "longer",
            "category": category,
            "date": f"2026-07-{1 + place + number:02d}T00:00:00Z",
            "url": f"https://github.com/owner/{category}/blob/{number}/a.py",
            "metadata": json.dumps({"title": None}),
        }
        for number in range(2)
        for place, category in enumerate(categories)
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def files(data: bytes) -> dict[str, bytes]:
    return {"README.md": b"---\nlanguage: en\n---\n", "data/test-00000-of-00001.parquet": data}


SCRIPT = """
import dataclasses, json, sys
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.store import load_corpora, load_corpus
from evalkit.errors import EvalkitError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
def say(value):
    print(json.dumps(value))
def refused(call, *args):
    try:
        call(*args)
    except EvalkitError as error:
        return str(error)
corpora = load_corpora(["uncheatable-2026-07"])
say([[corpus.name, corpus.date_from, corpus.date_to, corpus.manifest.licenses, corpus.manifest.provenance,
      [document.text for document in corpus.documents]] for corpus in corpora])
say(any(may_republish(document.license) for corpus in corpora for document in corpus.documents))
say([corpus.name for corpus in load_corpora(["uncheatable-2026-07/github_*", "uncheatable-2026-07/arxiv_cs",
                                             "uncheatable-2026-07/github_cpp"])])
say(load_corpus("uncheatable-2026-07/bbc_news").sha256 == corpora[CATEGORIES.index("bbc_news")].sha256)
result = run(["xz"], ["uncheatable-2026-07"], options=RunOptions(output="runs"))
say([[cell.bits_per_byte for cell in result.cells], result.ranking()[0].bits_per_byte])
for name in ("uncheatable-2026-04", "uncheatable-2026-04@OLDER"):
    say([[corpus.name, corpus.documents[0].text, corpus.manifest.provenance["revision"]]
         for corpus in load_corpora([name.replace("OLDER", "1" * 40)])])
say([refused(load_corpora, ["uncheatable-2026-04/arxiv_*"]), refused(load_corpus, "uncheatable-2026-07"),
     refused(load_corpora, ["uncheatable-2026-01"]), refused(load_corpora, ["uncheatable-2025-12"]),
     refused(load_corpora, ["uncheatable-2026-07@" + "3" * 40])])
import datasets, huggingface_hub
datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
say([corpus.name for corpus in load_corpora(["uncheatable-2026-04@" + "1" * 40])])
say([refused(load_corpora, ["uncheatable-2026-04@" + "2" * 40]),
     refused(load_corpora, ["uncheatable-2026-04"])])
"""


def say_on_a_hub(folder: Path) -> list[Any]:
    """What the script says of a hub that has three of the sets, one of them in another format."""
    datasets = {
        JULY.repository: {str(JULY.revision): files(table(CATEGORIES)), NEWEST: {}},
        "Jellyfish042/UncheatableEval-2026-04": {
            OLDER: files(table(("news",), "older ")),
            NEWEST: files(table(("news", "code"))),
        },
        "Jellyfish042/UncheatableEval-2025-12": {
            NEWEST: {"README.md": b"---\n---\n", "test.jsonl": b'{"content": "a", "kind": "b"}\n'}
        },
    }
    with serve_datasets(datasets) as hub:
        done = subprocess.run(
            [sys.executable, "-c", f"CATEGORIES = {CATEGORIES!r}\n{SCRIPT}"],
            env=hub_environment(folder, HF_ENDPOINT=hub.url),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def xz_bits(text: str) -> int:
    """What LZMA2 makes of a text, computed from its own settings."""
    data = text.encode()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 4096, "pb": 0}]
    return 8 * len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))


@pytest.mark.slow
def test_a_set_on_the_hub_is_a_corpus_of_each_category(tmp_path: Path) -> None:
    answers = say_on_a_hub(tmp_path)
    whole, shows_text, chosen, is_same, scored, newest, older, refusals, cached, not_cached = answers
    assert [name for name, *_ in whole] == [f"uncheatable-2026-07-{category}" for category in CATEGORIES]
    for place, (_, date_from, date_to, licenses, provenance, texts) in enumerate(whole):
        category = CATEGORIES[place]
        assert (date_from, date_to) == (f"2026-07-{1 + place:02d}", f"2026-07-{2 + place:02d}")
        assert licenses == {"unknown": 2}
        assert (provenance["revision"], provenance["value"]) == (JULY.revision, category)
        assert texts == [f"{category} ä{number}\n" * (1 + place) for number in range(2)]
    assert shows_text is False
    languages = ("cpp", "javascript", "markdown", "other", "python")
    assert chosen == [
        *(f"uncheatable-2026-07-github_{language}" for language in languages),
        "uncheatable-2026-07-arxiv_cs",
    ]
    assert is_same
    expected = [sum(map(xz_bits, texts)) / sum(len(text.encode()) for text in texts) for *_, texts in whole]
    bits_per_byte, macro = scored
    assert bits_per_byte == pytest.approx(expected, rel=1e-12)
    assert macro == pytest.approx(math.fsum(expected) / 15, rel=1e-12)
    # Not pinned: the newest commit, recorded, unless the name says one.
    assert newest == [
        ["uncheatable-2026-04-news", "news ä0\n", NEWEST],
        ["uncheatable-2026-04-code", "code ä0\ncode ä0\n", NEWEST],
    ]
    assert older == [["uncheatable-2026-04-news", "older news ä0\n", OLDER]]
    category, several, repository, column, commit = refusals
    assert category == ("corpus uncheatable-2026-04/arxiv_*: the set has no such category; it has news, code")
    assert several.startswith("corpus uncheatable-2026-07: it is 15 corpora, give one: uncheatable-2026-07-")
    assert repository.startswith(
        "the hub has no dataset Jellyfish042/UncheatableEval-2026-01, or it is private"
    )
    assert "row 1: no 'category' among content, kind" in column
    assert "UncheatableEval-2026-07" in commit and "3" * 40 in commit
    # Without the hub: what was read before, and never another commit in its place.
    assert cached == ["uncheatable-2026-04-news"]
    assert (
        f"@{NEWEST}: the Hub is out of reach, and what this machine has of it is commit {OLDER}: "
        in not_cached[0]
    )
    assert "(HF_HUB_OFFLINE is set): connect, or write uncheatable-2026-04@COMMIT" in not_cached[1]
    assert not any("\n" in refusal for refusal in (*refusals, *not_cached))


def test_names_of_sets(tmp_path: Path) -> None:
    assert len(set(CATEGORIES)) == 15
    july = "uncheatable-2026-07"
    assert parse_set_name(july) == SetSelection(july, None, "*")
    assert parse_set_name(f"{july}/arxiv_cs") == SetSelection(july, None, "arxiv_cs")
    assert parse_set_name(f"{july}@{OLDER}/ar?iv_*") == SetSelection(july, OLDER, "ar?iv_*")
    for name in ("uncheatable-2026-07-arxiv_cs", "news/arxiv_cs", "uncheatable", str(tmp_path), "hub:a/b"):
        assert parse_set_name(name) is None
    for name in UNCHEATABLE_SETS:
        check_corpus_name(name, tmp_path)
        check_corpus_name(f"{name}/github_*", tmp_path)
    check_corpus_name(f"{july}@{OLDER}/of_another_commit", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uncheatable-2026-07/arxiv_chem", r"the set has no such category; it has ao3_english, .*arxiv_cs"),
        ("uncheatable-2026-07/Arxiv_*", r"the set has no such category"),
        ("uncheatable-2026-07/", r"a set's corpora are written uncheatable-2026-07, uncheatable-2026-07/CAT"),
        ("uncheatable-2026-07@main", r"uncheatable-2026-07@COMMIT/CATEGORY with the 40 hex digits"),
        ("uncheatable-2026-07@", r"with the 40 hex digits of a commit"),
        ("uncheatable-2026-06", r"unknown corpus 'uncheatable-2026-06'. Did you mean uncheatable-2026-"),
        ("uncheatable-2026-06/arxiv_cs", r"unknown corpus 'uncheatable-2026-06/arxiv_cs'. Did you mean unch"),
    ],
)
def test_a_name_that_asks_for_nothing_is_refused_before_the_hub_is(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        check_corpus_name(name, tmp_path)
    assert "\n" not in str(refusal.value)
