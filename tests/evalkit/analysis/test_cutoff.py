"""Whether a model can have read a document: one rule for runs, site, comparison, plots and exports."""

import csv
import datetime as dt
import hashlib
import json
from pathlib import Path

import lxml.html
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import plots
from evalkit.analysis.compare import compare_cells, comparison_lines
from evalkit.analysis.cutoff import (
    DatedDocuments,
    Exposure,
    combined,
    cutoff_of,
    earliest_day,
    exposure_of,
    is_newer_than,
    latest_day,
    reading_of,
)
from evalkit.analysis.document_dates import readings
from evalkit.analysis.results import read_results
from evalkit.cells.files import content_sha256
from evalkit.corpora.document import Corpus
from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.exports.formats import FORMATS
from evalkit.files import strict_json
from evalkit.report import build_site
from evalkit.runner.corpora import run
from evalkit.runner.corpora_table import notes
from evalkit.runner.options import RunOptions
from tests.evalkit.report.test_numbers import read_data
from tests.support.stores import Counted


@pytest.mark.parametrize(
    ("published_at", "window", "cutoff", "exposure"),
    [
        # A document's own day decides, whatever the window.
        ("2026-11-25", ("2026-11-15", "2026-11-30"), "2026-11-24", Exposure.NEWER),
        ("2026-11-25", ("2026-11-15", "2026-11-30"), "2026-11-25", Exposure.POSSIBLE),
        ("2026-11-25T23:59:59Z", (None, None), "2026-11-25", Exposure.POSSIBLE),
        ("2024-02-29", (None, None), "2024-02", Exposure.POSSIBLE),
        ("2024-03-01", (None, None), "2024-02", Exposure.NEWER),
        # Without one the window does, where it lies on one side.
        (None, ("2026-11-15", "2026-11-30"), "2026-11-14", Exposure.NEWER),
        (None, ("2026-11-15", "2026-11-30"), "2026-11-30", Exposure.POSSIBLE),
        (None, ("2026-11-15", "2026-11-30"), "2026-11-20", Exposure.UNKNOWN),
        (None, ("2026-11-15", None), "2026-11-14", Exposure.NEWER),
        (None, (None, "2026-11-30"), "2026-11", Exposure.POSSIBLE),
        (None, (None, None), "2026-11", Exposure.UNKNOWN),
        # And without a cutoff nothing does.
        ("2026-11-25", ("2026-11-15", "2026-11-30"), None, Exposure.UNKNOWN),
    ],
)
def test_a_document(
    published_at: str | None,
    window: tuple[str | None, str | None],
    cutoff: str | None,
    exposure: Exposure,
) -> None:
    assert exposure_of(published_at, *window, cutoff_of(cutoff, None)) is exposure
    assert exposure_of(published_at, *window, cutoff_of(None, cutoff)) is exposure


DATES = st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 12)).map(dt.date.isoformat)


@given(
    days=st.lists(st.none() | DATES, min_size=1, max_size=4),
    window=st.none() | st.tuples(DATES, DATES).map(sorted),
    cutoffs=st.lists(st.none() | DATES, max_size=3),
)
def test_a_corpus_counts_where_it_is_newer_for_every_model_with_a_date(
    days: list[str | None], window: list[str] | None, cutoffs: list[str | None]
) -> None:
    """What averages and ranks count is what bears no mark for any of these models."""
    documents = DatedDocuments(tuple(days), *(window or (None, None)))
    models = [cutoff_of(cutoff, None) for cutoff in cutoffs]
    exposures = {reading_of(documents, model).exposure for model in models if model is not None}
    counts = is_newer_than(earliest_day(documents), latest_day(models))
    assert counts == (exposures <= {Exposure.NEWER})


def test_the_cutoff_goes_before_the_release_and_dates_before_words() -> None:
    assert cutoff_of("2024", "2025-06-01") == ("2024", "cutoff")
    assert cutoff_of("last summer", "2025-06-01") == ("2025-06-01", "release")
    assert cutoff_of(None, None) is None


def test_of_several_corpora_the_worst_counts() -> None:
    assert combined([Exposure.NEWER, Exposure.UNKNOWN]) is Exposure.UNKNOWN
    assert combined([Exposure.NEWER, Exposure.UNKNOWN, Exposure.POSSIBLE]) is Exposure.POSSIBLE
    assert combined([Exposure.IMPOSSIBLE, Exposure.IMPOSSIBLE]) is Exposure.IMPOSSIBLE


def window_corpus() -> Corpus:
    """Six documents of the 25th in a window from the 15th: the site marked them as read by ``newer``."""
    documents = [
        make_document(f"{number} bits and bytes of text " * 5, source="x", published_at="2026-11-25")
        for number in range(6)
    ]
    return make_corpus("window", documents, date_from="2026-11-15", date_to="2026-11-30")


MODELS = [
    Counted("newer", "the of", 1, knowledge_cutoff="2026-11-20"),
    Counted("older", "bits", 1, knowledge_cutoff="2026-11-25"),
    Counted("silent", "text", 1),
]
MARKS = {"newer": "", "older": "†", "silent": "?", "xz": ""}


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    result = run([*MODELS, "xz"], [window_corpus()], options=RunOptions(output=tmp_path / "runs"))
    marked = [note for note in notes(result) if "read in training" in note]
    assert [note.split(":")[0] for note in marked] == ["† older on window", "? silent on window"]
    assert "no document is newer than the model's cutoff, 2026-11-25" in marked[0]
    return tmp_path / "runs"


def test_everybody_says_the_same(scored: Path, tmp_path: Path) -> None:
    results = read_results(scored, warn=pytest.fail)
    labels = [row.label for row in results.configurations]

    build_site(results, tmp_path / "site", warn=pytest.fail)
    links = read_data(tmp_path / "site", "data/leaderboard.js")["cells"][0]
    assert {labels[int(index)]: marks for index, (_, marks, _) in links.items()} == MARKS
    tree = lxml.html.fromstring((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    shown = {
        row.xpath("th/a/text()")[0]: "".join(row.xpath("td[@data-corpus]/sup/text()"))
        for row in tree.xpath("//table[@id='leaderboard']/tbody/tr")
    }
    assert shown == MARKS
    legends = [" ".join(node.text_content().split()) for node in tree.xpath("//p[@class='legend']")]
    assert any("? whether it has is not known" in legend for legend in legends)

    FORMATS["csv"].write(results.cells, tmp_path / "cells.csv")
    with (tmp_path / "cells.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert {name: Exposure(row["exposure"]).mark for name, row in rows.items()} == MARKS
    assert rows["older"]["num_documents_possibly_read"] == "6"
    assert rows["xz"]["exposure"] == "cannot have been read"
    FORMATS["parquet"].write(results.cells, tmp_path / "documents.parquet", documents=True)
    for row in pq.read_table(tmp_path / "documents.parquet").to_pylist():
        assert Exposure(row["exposure"]).mark == MARKS[row["model"]] and row["published_at"] == "2026-11-25"
    FORMATS["lm-eval"].write(results.cells, tmp_path / "lm")
    for path in (tmp_path / "lm").rglob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        exposure = content["configs"]["window"]["evalkit_exposure"]
        assert Exposure(exposure).mark == MARKS[content["model_name"]]

    cells = {cell.model.name: cell for cell in results.cells}
    comparison = compare_cells(cells["older"], cells["silent"])
    lines = [line for line in comparison_lines(comparison, 0) if "read in training" in line]
    assert [line.split(":")[0] for line in lines] == ["  † older", "  ? silent"]
    assert json.loads(json.dumps(comparison.to_json(0)))["reading_a"]["num_possible"] == 6

    figure = plots.differences(results, reference="newer")
    assert {label.get_text() for label in figure.axes[0].get_yticklabels()} == {"older†", "silent?", "xz"}
    conditions = " ".join(figure.texts[1].get_text().split())
    assert "†: may have been read in training; ?: not known whether it was read in training" in conditions


def without_days(folder: Path) -> None:
    """Make the cells as old as those that do not hold their documents' days."""
    for path in folder.rglob("*.json"):
        parquet = path.with_suffix(".parquet")
        table = pq.read_table(parquet)
        pq.write_table(table.drop_columns(["published_at"]), parquet)
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = hashlib.sha256(parquet.read_bytes()).hexdigest()
        content["documents"]["parquet_sha256"] = digest
        content["sha256"] = content_sha256(content)
        path.write_text(strict_json(content), encoding="utf-8")


def test_of_older_cells_the_corpus_says_the_days_or_they_are_not_known(scored: Path) -> None:
    without_days(scored)
    results = read_results(scored, warn=pytest.fail)

    def marks() -> dict[str, str]:
        return {
            results.configurations[index].label: reading.exposure.mark
            for index, reading in readings(results, 0, {}).items()
        }

    # The cutoffs lie in the window, and the texts are not at hand.
    assert marks() == {"newer": "?", "older": "?", "silent": "?", "xz": ""}
    save_corpus(window_corpus())
    assert marks() == MARKS
    assert readings(results, 0, {}, window_corpus()).keys() == results.corpora[0].cells.keys()
