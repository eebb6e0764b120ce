"""Audits: what was planted is found, what is clean gives no alarm, and withheld words stay withheld."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.corpora.audit import Audit, AuditLimits, publishable, read_audit, write_audit
from evalkit.corpora.auditing import NUM_EXAMPLES, audit
from evalkit.corpora.document import VERBATIM, Corpus, Document, make_corpus, make_document
from evalkit.corpora.store import load_corpus, save_corpus
from evalkit.errors import CorpusError
from evalkit.report.audit_page import write_audit_page
from tests.support.site_github import code
from tests.support.site_news import LANGUAGES
from tests.support.site_news import prose as news_prose
from tests.support.toys import run_cli


def text_of(number: int, language: str = "en", num_paragraphs: int = 14) -> str:
    return "\n".join(news_prose(language, number, num_paragraphs))


def document(number: int, text: str | None = None, **changes: Any) -> Document:
    fields: dict[str, Any] = {
        "source": "news",
        "id": f"d{number}",
        "url": f"https://paper.example/{number}",
        "title": f"Title {number}",
        "published_at": f"2026-11-{number % 15 + 1:02d}",
        "fetched_at": "2026-11-20",
        "license": "CC-BY-4.0",
        "language": "en",
    }
    return make_document(text_of(number) if text is None else text, **{**fields, **changes})


def corpus_of(documents: list[Document], name: str = "news-2026-11-01") -> Corpus:
    return make_corpus(name, documents, date_from="2026-11-01", date_to="2026-11-15")


def failed(audited: Audit) -> set[str]:
    return {finding.gate for finding in audited.findings() if not finding.passed}


@pytest.fixture(scope="module")
def clean() -> list[Document]:
    """Documents in seven languages, four of each, and twenty programs."""
    documents = [
        document(number, text_of(number, language), language=language)
        for number, language in enumerate(LANGUAGES * 4)
    ]
    programs = [
        document(number, code(number).decode(), language=None, extractor=f"{VERBATIM}, x 1", license="MIT")
        for number in range(100, 120)
    ]
    return [*documents, *programs]


def test_a_clean_corpus_gives_no_alarm(clean: list[Document]) -> None:
    older = corpus_of([document(number) for number in range(500, 540)], "news-2026-10-01")
    audited = audit(corpus_of(clean), [older])
    assert failed(audited) == set()
    assert sum(fault.num_documents for fault in audited.faults) == 0
    assert audited.repeated.num_near == audited.repeated.num_exact == 0, audited.repeated
    assert audited.boilerplate.num_lines == 0 and audited.contradicted == ()
    told = {(count.stated, count.detected): count.num_documents for count in audited.languages}
    assert told.pop(("unknown", "unknown")) == 20
    assert all(stated == language for stated, language in told) and sum(told.values()) == 28
    assert [(row.license, row.num_documents, row.may_republish) for row in audited.licenses] == [
        ("CC-BY-4.0", 28, True),
        ("MIT", 20, True),
    ]
    assert (audited.dates.first, audited.dates.last, audited.dates.num_undated) == (
        "2026-11-01",
        "2026-11-15",
        0,
    )
    lengths = sorted(entry.num_bytes for entry in clean)
    assert (audited.lengths[0], audited.lengths[-1]) == (lengths[0], lengths[-1])
    assert len(audited.sample) == 20 and audited.sample != audit(corpus_of(clean), seed=1).sample
    assert audited.sample == audit(corpus_of(clean[::-1])).sample


PLANTED = {
    "replacement characters": "A word of \ufffd\ufffd here.",
    "mojibake": "Le cafÃ© est fermÃ© aujourdâ€™hui.",
    "control characters": "An icon \ue016 and a bell \x07 too.",
    "invisible characters": "Extra\u00adordinary and so on.",
    "glued sentences": "It was the end.The next one began at once.",
    "lost superscripts": "The speed of light is 3×108 metres a second.",
    "markup": 'See <a href="/x">this</a> &amp; that.',
    "traces of PDF": "An ef\ufb01cient extrac-\ntion.",
}


def planted_line(kind: str, number: int) -> str:
    if kind == "glued words":
        left = ("harbour", "library", "valley")[number % 3]
        return f"It was the {left}{('Several', 'Scientists', 'Residents', 'The')[number // 3]} of it."
    return f"{number} {PLANTED[kind]}"


@pytest.mark.parametrize("kind", [*PLANTED, "glued words"])
def test_a_planted_fault_is_the_only_alarm(kind: str, clean: list[Document]) -> None:
    planted = [
        document(200 + number, f"{text_of(200 + number)}\n{planted_line(kind, number)}")
        for number in range(12)
    ]
    audited = audit(corpus_of([*clean, *planted]))
    assert failed(audited) == {kind}
    (fault,) = [fault for fault in audited.faults if fault.kind == kind]
    assert fault.num_documents == 12 and len(fault.examples) == NUM_EXAMPLES
    assert all(int(example.id[1:]) >= 200 for example in fault.examples)


def test_repetitions_are_found_in_the_corpus_and_in_older_ones(clean: list[Document]) -> None:
    copies = [document(300 + n, clean[n].text, language=clean[n].language) for n in range(4)]
    near = [
        document(320 + n, f"Another headline\n{clean[n].text}", language=clean[n].language)
        for n in range(4, 6)
    ]
    older = [document(400 + n, clean[n].text) for n in range(10, 13)]
    audited = audit(
        corpus_of([*clean, *copies, *near]),
        [corpus_of(older, "news-2026-10-01"), corpus_of([document(900)], "news-2026-10-16")],
    )
    assert (audited.repeated.num_exact, audited.repeated.num_near) == (4, 2)
    assert "d300 = d0" in {*audited.repeated.examples} or len(audited.repeated.examples) == NUM_EXAMPLES
    assert [(old.corpus, old.num_documents, old.num_exact, old.num_near) for old in audited.older] == [
        ("news-2026-10-01", 3, 3, 0),
        ("news-2026-10-16", 1, 0, 0),
    ]
    assert set(audited.older[0].examples) == {"d10", "d11", "d12"}
    assert failed(audited) == {"duplicates", "overlap with news-2026-10-01"}


def test_lines_that_repeat_on_one_host(clean: list[Document]) -> None:
    line = "Subscribe to our newsletter and never miss a story of ours again, whatever happens."
    documents = [
        dataclasses.replace(entry)
        if number % 3
        else document(number, f"{entry.text}\n{line}\n", language=entry.language)
        for number, entry in enumerate(clean[:28])
    ]
    elsewhere = [document(700, f"{text_of(700)}\n{line}", url="https://other.example/1")]
    audited = audit(corpus_of([*documents, *elsewhere]), limits=AuditLimits(max_boilerplate_share=0.002))
    assert audited.boilerplate.num_lines == 1
    assert audited.boilerplate.num_bytes == 10 * (len(line) + 1)
    assert audited.boilerplate.num_looked_at == sum(entry.num_bytes for entry in [*documents, *elsewhere])
    assert audited.boilerplate.examples[0].text == line
    assert failed(audited) == {"boilerplate"}


def test_wrong_languages_and_dates(clean: list[Document]) -> None:
    wrong = [document(600 + number, text_of(600 + number, "ru")) for number in range(4)]
    dated = [
        document(610, published_at="2026-10-31"),
        document(611, published_at="2026-11-16T00:00:00Z"),
        document(612, published_at=None),
        document(613, fetched_at="2026-11-01", published_at="2026-11-09"),
    ]
    audited = audit(corpus_of([*clean, *wrong, *dated]))
    assert set(audited.contradicted) == {"d600", "d601", "d602", "d603"}
    assert (audited.dates.num_before, audited.dates.num_after, audited.dates.num_undated) == (1, 1, 1)
    assert audited.dates.num_fetched_earlier == 1
    assert failed(audited) == {"languages", "dates", "dates of fetching"}


def test_one_text_in_a_small_corpus_is_no_alarm() -> None:
    faulty = document(1, f"{text_of(1)}\n{PLANTED['markup']}")
    audited = audit(corpus_of([document(0), faulty]))
    assert failed(audited) == set()
    assert next(fault for fault in audited.faults if fault.kind == "markup").num_places == 3


def test_words_that_nobody_may_show_are_withheld(tmp_path: Path) -> None:
    marks = [f"{text_of(n)}\nSecret number {n} &amp; more." for n in range(6)]
    documents = [
        document(n, text, license=["CC-BY-4.0", None, "CC-BY-NC-4.0"][n % 3]) for n, text in enumerate(marks)
    ]
    corpus = corpus_of(documents)
    audited = audit(corpus)
    shown = publishable(audited, corpus)
    assert {sampled.id for sampled in shown.sample if sampled.text is None} == {"d1", "d2", "d4", "d5"}
    assert all(sampled.title is None for sampled in shown.sample if sampled.text is None)
    assert shown.findings() == audited.findings()
    write_audit(shown, tmp_path / "audit.json")
    kept = (tmp_path / "audit.json").read_text(encoding="utf-8")
    assert "number 0 " in kept
    assert not any(f"number {n} " in kept for n in (1, 2, 4, 5))
    assert read_audit(tmp_path / "audit.json") == shown


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 1}', "{"])
def test_files_that_are_no_audit(content: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    path.write_text(content)
    with pytest.raises(CorpusError, match=r"audit.json is no audit of a corpus: .*corpora audit --keep"):
        read_audit(path)
    with pytest.raises(CorpusError, match="cannot read"):
        read_audit(tmp_path / "none.json")


def test_the_page_shows_and_does_not_obey(tmp_path: Path) -> None:
    script = "<script>alert(1)</script>"
    corpus = corpus_of(
        [
            document(n, f"{text_of(n)}\n{n} {script}", title=script, url="javascript:alert(1)")
            for n in range(5)
        ]
    )
    write_audit_page(audit(corpus), tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "href" not in page
    assert "beyond its limit" in page and "default-src &#39;none&#39;" not in page


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path))
    save_corpus(corpus_of([document(n) for n in range(12)]))
    save_corpus(corpus_of([document(n) for n in range(10, 22)], "news-2026-10-01"))
    words = ("corpora", "audit", "news-2026-11-01", "--sample", "2")
    alone = run_cli(*words, "--html", str(tmp_path / "a.html"), "--keep")
    assert alone.exit_code == 0, alone.stderr
    assert alone.stdout.count("\n== Title ") == 2 and "FAILED" not in alone.stdout
    assert "d1" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert read_audit(tmp_path / "news-2026-11-01" / "audit.json").num_documents == 12
    assert load_corpus("news-2026-11-01").manifest.num_documents == 12
    compared = run_cli(*words, "--against", "news-2026-10-01", "--json")
    assert compared.exit_code == 0  # two are too few for an alarm
    assert json.loads(compared.stdout)["older"][0]["num_exact"] == 2
    for line, message in [
        (("corpora", "audit", "python-stdlib", "--keep"), "--keep: python-stdlib is not in the store"),
        ((*words, "--against", "news-2026-11-01"), "it is the corpus itself"),
        ((*words, "--against", "nothing"), "unknown corpus 'nothing'"),
    ]:
        outcome = run_cli(*line)
        assert outcome.exit_code == 2 and message in outcome.stderr
