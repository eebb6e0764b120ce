"""A corpus of which some texts may not be kept: explored and scored in part, never mixed with the whole."""

from pathlib import Path
from typing import NamedTuple

import lxml.html
import numpy as np
import pytest

import evalkit
from evalkit.analysis.rankings import Choice, Leaderboard, compute
from evalkit.analysis.results import read_results
from evalkit.analysis.sources import sources_of
from evalkit.corpora.document import Corpus, Document
from evalkit.corpora.licenses import ARXIV_LICENSE
from evalkit.corpora.store import make_corpus, make_document, save_corpus
from tests.evalkit.report.test_numbers import read_data
from tests.support.sites import build_site_of
from tests.support.stores import Counted

SECRET = "this sentence belongs to its author"
REASON = "whose licences do not let their texts be published"
WITHHELD = range(0, 12, 3)


class Parted(NamedTuple):
    board: Leaderboard
    site: Path
    documents: list[Document]
    warnings: list[str]


def paper(number: int) -> Document:
    is_free = number not in WITHHELD
    return make_document(
        f"{number} the text of the paper and of others. " * (number + 2) + ("" if is_free else SECRET),
        id=f"paper-{number}",
        source="papers",
        license="CC-BY-4.0" if is_free else ARXIV_LICENSE,
        title=f"{'Free' if is_free else 'Withheld'} {number}",
        published_at="2026-10-02",
    )


def score(folder: Path, names: str, corpora: list[Corpus]) -> None:
    models = [Counted(name, f"the of text {name}" * 3, 1 + number) for number, name in enumerate(names)]
    evalkit.run(models, corpora, options=evalkit.RunOptions(output=folder), token_bits=True)


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Parted:
    """Models a and b are scored on two whole corpora, c on one and a part of the other, d on that part."""
    folder = tmp_path_factory.mktemp("parted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALKIT_CORPORA", str(folder / "corpora"))
        documents = [paper(number) for number in range(12)]
        news = make_corpus(
            "news-2026-10-01",
            [make_document(f"{n} news of the day", source="news", license="CC0-1.0") for n in range(9)],
            date_from="2026-10-01",
            date_to="2026-10-15",
        )
        days = {"date_from": "2026-10-01", "date_to": "2026-10-15"}
        whole = make_corpus("papers-2026-10-01", documents, **days)
        free = [document for number, document in enumerate(documents) if number not in WITHHELD]
        part = make_corpus("papers-2026-10-01-partial", free, num_dropped={REASON: 4}, **days)
        score(folder / "runs", "ab", [whole, news])
        score(folder / "runs", "abc", [news])
        score(folder / "runs", "abcd", [part])
        for corpus in (news, part):
            save_corpus(corpus)
        warnings: list[str] = []
        build_site_of(folder / "runs", folder / "site", warn=warnings.append)
        results = read_results(folder / "runs", warn=warnings.append)
        return Parted(compute(results, sources_of(results)), folder / "site", documents, warnings)


def test_a_cell_of_a_part_stands_beside_the_whole_ones_and_is_compared_on_what_both_have(
    parted: Parted,
) -> None:
    board = parted.board
    assert [corpus.label for corpus in board.results.corpora] == ["news-2026-10-01", "papers-2026-10-01"]
    papers = board.results.corpora[1]
    assert (sorted(papers.cells), sorted(papers.part_cells)) == ([0, 1], [2, 3])
    shared = np.array([number not in WITHHELD for number in range(12)])
    sizes = papers.num_bytes
    rates = papers.bits[shared].sum(axis=0) / sizes[shared].sum()
    assert board.level(1, 2).value == pytest.approx(rates[2], abs=1e-6)
    assert board.level(1, 0).value == pytest.approx(papers.bits[:, 0].sum() / sizes.sum(), abs=1e-6)
    gap = board.difference(1, 0, 2)
    assert gap is not None and gap.value == pytest.approx(rates[0] - rates[2], abs=1e-6)
    assert board.level(1, 0).value != pytest.approx(rates[0], abs=1e-3)  # or the mixture would not be seen
    assert 2 not in board.best(1, [2])


def test_no_aggregate_counts_a_part(parted: Parted) -> None:
    view = parted.board.views[Choice("document", None, None)]
    assert view.corpora == (0, 1) and view.configurations == (0, 1)
    partial = view.partial["macro"][2]
    assert (partial.num_corpora, partial.level.value) == (1, parted.board.level(0, 2).value)
    assert 3 not in view.partial["macro"]
    assert (parted.site / "models" / "d.html").is_file()
    alone = parted.board.views[Choice("document", "papers", None)]
    assert alone.configurations == (0, 1) and alone.level("macro", 2) is None
    data = read_data(parted.site, "data/leaderboard.js")
    assert data["in_part"] == [[], [2, 3]]
    front = lxml.html.parse(parted.site / "index.html")
    tints = front.xpath("//table[@id='leaderboard']/tbody/tr/td[@data-corpus='1']/@class")
    assert [tint.split()[1] for tint in tints] == ["h0", "h1", "h4", "h4"]  # the last has none
    page = lxml.html.parse(parted.site / "corpora" / "papers-2026-10-01.html")
    (row,) = page.xpath("//tr[@data-configuration='2']")
    assert row.xpath("string(.//td/sup)").startswith("*")
    assert "over 8 of 12 documents" in row.xpath("string(.//td/a/@title)")


def test_the_explorer_has_what_may_be_kept_and_says_what_it_lacks(parted: Parted) -> None:
    page = lxml.html.parse(parted.site / "explorer" / "papers-2026-10-01.html")
    said = " ".join(page.xpath("string(//*[@id='left-out'])").split())
    assert said.startswith(f"4 of 12 documents are not explored: 4 {REASON}.")
    assert said.endswith("paper-0, paper-3, paper-6, paper-9.")
    opened = {int(number) for number in page.xpath("//@data-document")}
    assert opened == set(range(12)) - set(WITHHELD)
    for number, document in enumerate(parted.documents):
        folder = "data/explorer/papers-2026-10-01"
        files = sorted(path.name for path in (parted.site / folder).glob(f"{number}.*"))
        if number in WITHHELD:
            assert not files
            continue
        assert files == [
            f"{number}.a.js",
            f"{number}.b.js",
            f"{number}.c.js",
            f"{number}.d.js",
            f"{number}.js",
        ]
        assert read_data(parted.site, f"{folder}/{number}.js")["text"] == document.text
        tokens = read_data(parted.site, f"{folder}/{number}.c.js")
        bits = parted.board.results.corpora[1].bits[number, 2]
        assert sum(tokens["bits"]) / 100 == pytest.approx(bits, abs=0.005 * len(tokens["bits"]) + 1e-3)
    for path in parted.site.rglob("*.*"):
        data = path.read_bytes()
        assert SECRET.encode() not in data and b"Withheld" not in data, path
    lacking = [text for text in parted.warnings if "texts are not at hand" in text]
    assert len(lacking) == 1 and "lacks 4 of 12 documents" in lacking[0] and REASON in lacking[0]
