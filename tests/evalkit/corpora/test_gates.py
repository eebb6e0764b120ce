"""Quality gates: a healthy window passes, a broken crawler's does not."""

import dataclasses
import json
from pathlib import Path

import pytest

from evalkit.corpora.gates import (
    Limits,
    check,
    check_first,
    parse_limits,
    profile,
    read_profile,
    write_profile,
)
from evalkit.corpora.store import Corpus, Document, make_corpus, make_document, save_corpus
from evalkit.errors import CorpusError, UsageError
from tests.support.toy_source import prose
from tests.support.toys import run_cli


def documents(first: int, count: int, *, words: int = 200, language: str = "en") -> list[Document]:
    return [
        make_document(
            prose(number, words + 3 * (number % 40)),
            source="toy",
            license="CC0-1.0",
            language=language,
            published_at="2026-11-02",
        )
        for number in range(first, first + count)
    ]


def window(name: str, *parts: list[Document]) -> Corpus:
    return make_corpus(name, [document for part in parts for document in part])


OLD = profile(window("toy-2026-10-16", documents(0, 80), documents(80, 20, language="de")))


def failed(corpus: Corpus, limits: Limits | None = None) -> set[str]:
    return {finding.gate for finding in check(profile(corpus), OLD, limits) if not finding.passed}


def test_a_window_like_the_last_one_passes() -> None:
    assert failed(window("new", documents(200, 85), documents(300, 18, language="de"))) == set()


def test_a_first_window_has_what_every_corpus_has() -> None:
    def failed_first(*parts: list[Document], num_wrong: int = 0, limits: Limits | None = None) -> set[str]:
        findings = check_first(profile(window("first", *parts)), num_wrong, limits)
        assert [finding.gate for finding in findings] == [
            "documents",
            "languages",
            "median length",
            "duplicates",
        ]
        return {finding.gate for finding in findings if not finding.passed}

    assert failed_first(documents(0, 10)) == set()
    assert failed_first(documents(0, 9)) == {"documents"}
    assert failed_first(documents(0, 9), limits=Limits(min_documents=9)) == set()
    assert failed_first(documents(0, 100), num_wrong=2) == set()
    assert failed_first(documents(0, 100), num_wrong=3) == {"languages"}
    assert failed_first(documents(0, 150), num_wrong=3) == set()  # just 2 %
    notices = [make_document(f"{number} is no page", source="toy") for number in range(12)]
    assert failed_first(notices) == {"median length"}
    dumps = Limits(max_median_bytes=1000)
    assert failed_first(documents(0, 12), limits=dumps) == {"median length"}
    again = [dataclasses.replace(document, id=f"again-{document.id}") for document in documents(0, 4)]
    assert failed_first(documents(0, 96), again) == {"duplicates"}


def test_a_broken_crawl_is_named_by_what_it_broke() -> None:
    german = documents(400, 20, language="de")
    assert failed(window("few", documents(200, 35), documents(400, 9, language="de"))) == {"documents"}
    assert failed(window("many", documents(200, 170), documents(400, 42, language="de"))) == {"documents"}
    assert failed(window("english", documents(200, 100))) == {"languages"}
    assert failed(window("short", documents(200, 80, words=60), german)) == {"median length", "lengths"}
    repeated = [dataclasses.replace(document, id=f"again-{document.id}") for document in documents(200, 5)]
    assert failed(window("repeats", documents(200, 80), german, repeated)) == {"duplicates"}
    assert failed(window("stale", documents(200, 78), german, documents(0, 2))) == {"overlap"}


def test_numbers_of_the_findings() -> None:
    new = profile(window("new", documents(200, 60), documents(0, 3), documents(400, 37, language="de")))
    text = {finding.gate: finding.text for finding in check(new, OLD)}
    assert text["documents"].startswith("100 after 100: 1.00 times")
    assert text["languages"].startswith("shares differ by 0.170")  # 37 % after 20 %
    assert text["overlap"].startswith("3 documents are in toy-2026-10-16 as well: 3.00%")


def test_near_duplicates_are_counted_once_each() -> None:
    base = [prose(seed, 300) for seed in range(6)]
    near = [base[0].replace("was there", "was there", 1) + " One more sentence.", base[0].upper(), base[1]]
    unlike = [base[2][: len(base[2]) // 2] + prose(99, 150)]  # half of another's shingles: no duplicate
    texts = {"all": base + near + unlike, "base": base}
    corpora = {
        name: make_corpus(
            name, [make_document(text, source="toy", id=str(place)) for place, text in enumerate(group)]
        )
        for name, group in texts.items()
    }
    assert profile(corpora["all"]).num_near_duplicates == 3
    assert profile(corpora["base"]).num_near_duplicates == 0


def test_a_profile_survives_its_file_and_nothing_else_is_one(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    write_profile(OLD, path)
    assert check(read_profile(path), OLD) == check(OLD, OLD)
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_documents": 0}))
    with pytest.raises(CorpusError, match="it counts no documents"):
        read_profile(path)
    path.write_text(json.dumps({"name": "x"}))
    with pytest.raises(CorpusError, match="is no profile of a corpus"):
        read_profile(path)


def test_limits_that_nobody_knows_are_refused() -> None:
    assert parse_limits({"max_overlap_rate": 0.5}, "here").max_overlap_rate == 0.5
    with pytest.raises(UsageError, match="Did you mean max_overlap_rate"):
        parse_limits({"max_overlap": 0.5}, "here")
    with pytest.raises(UsageError, match="a number from 0 up, not -1"):
        parse_limits({"max_overlap_rate": -1}, "here")
    with pytest.raises(UsageError, match="a number from 0 up, not nan"):  # no rate is within NaN
        parse_limits({"max_overlap_rate": float("nan")}, "here")


def test_the_command_exits_with_one_where_a_gate_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path))
    save_corpus(window("old", documents(0, 40)))
    save_corpus(window("new", documents(100, 41)))
    save_corpus(window("half", documents(200, 10)))
    fine = run_cli("corpora", "check", "new", "--against", "old", "--save-profile", "new-profile.json")
    assert fine.exit_code == 0 and fine.stdout.count("passed") == 6
    bad = run_cli("corpora", "check", "half", "--against", "new-profile.json", "--json")
    alone = run_cli("corpora", "check", "new-profile.json")
    assert alone.exit_code == 2 and "a profile has no texts" in alone.stderr
    content = json.loads(bad.stdout)
    assert bad.exit_code == 1 and not content["passed"]
    assert [gate["gate"] for gate in content["gates"] if not gate["passed"]] == ["documents", "lengths"]
    loose = ["--limit", "min_documents_ratio=0.1", "--limit", "max_length_distance=1"]
    assert run_cli("corpora", "check", "half", "--against", "new-profile.json", *loose).exit_code == 0
    unknown = run_cli("corpora", "check", "neww", "--against", "old")
    assert unknown.exit_code == 2 and "Did you mean new" in unknown.stderr


def test_a_first_window_is_checked_without_another(tmp_path: Path) -> None:
    german = "Der Fluss fließt durch das Tal, und die Kinder spielen am Ufer unter den alten Bäumen. " * 12
    wrong = [make_document(f"{number}. {german}", source="toy", language="en") for number in range(3)]
    save_corpus(make_corpus("first", [*documents(0, 12), *wrong]), tmp_path)
    outcome = run_cli(
        "corpora", "check", "first", "--store", tmp_path, "--limit", "max_duplicate_rate=1", "--json"
    )
    content = json.loads(outcome.stdout)
    assert (outcome.exit_code, content["old"], content["passed"]) == (1, None, False)
    assert [gate["gate"] for gate in content["gates"] if not gate["passed"]] == ["languages"]
