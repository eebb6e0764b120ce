"""The effective cutoff of models of which it is known, from results that were drawn."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from evalkit.analysis.effective_cutoff import EffectiveCutoff, effective_cutoff, month_points
from evalkit.analysis.effective_cutoff_text import cutoff_json, cutoff_lines
from evalkit.analysis.results import Results
from evalkit.analysis.scored_rows import RowSpool
from evalkit.errors import UsageError
from evalkit.files import strict_json
from tests.support.dated import World, dated_results

WORLD = World(num_months=14, documents_per_month=40, step=0.05)
CUTOFF = dt.date(2023, 7, 14)


@pytest.fixture(scope="module")
def results() -> Results:
    return dated_results(WORLD, CUTOFF, seed=1)


def of(results: Results, **options: object) -> EffectiveCutoff:
    return effective_cutoff(results, "subject", catalog={}, **options)  # type: ignore[arg-type]


def stating(results: Results, row: int, **facts: str) -> Results:
    """The same, where a model's cell says something else of its dates."""
    configurations = list(results.configurations)
    dates = {"released": None, "knowledge_cutoff": None} | facts
    model = dataclasses.replace(configurations[row].facts, **dates)  # type: ignore[arg-type]
    configurations[row] = dataclasses.replace(configurations[row], facts=model)
    return dataclasses.replace(results, configurations=tuple(configurations))


def test_the_cutoff_is_found_within_a_month_and_its_interval(results: Results) -> None:
    cutoff = of(results)
    assert cutoff.day is not None and cutoff.low is not None and cutoff.high is not None
    assert abs((cutoff.day - CUTOFF).days) <= 31
    assert cutoff.low <= CUTOFF <= cutoff.high
    assert cutoff.stated is None and cutoff.is_as_stated is None
    text = "\n".join(cutoff_lines(cutoff))
    assert f"effective cutoff of subject: {cutoff.day}, 95 % interval {cutoff.low} to {cutoff.high}" in text
    points = month_points(cutoff, 0)
    assert [point.num_documents for point in points] == [40] * 14
    # Costs before and after, as they were put in.
    before, after = (np.mean([p.ratio.value for p in part]) for part in (points[:6], points[7:]))
    assert after / before == pytest.approx(np.exp(0.05 - 0.0005 * 7), abs=0.01)
    content = cutoff_json(cutoff)
    assert strict_json(content) and content["day"] == cutoff.day.isoformat()


@pytest.mark.parametrize(
    ("facts", "is_as_stated"),
    [
        ({"knowledge_cutoff": "2023-07"}, True),
        ({"knowledge_cutoff": "2023-03"}, False),
        ({"knowledge_cutoff": "2023"}, True),
        ({"released": "2024-01-05"}, False),
    ],
)
def test_what_is_stated_is_set_beside_it(results: Results, facts: dict[str, str], is_as_stated: bool) -> None:
    assert of(stating(results, 0, **facts)).is_as_stated is is_as_stated


def test_a_model_without_a_cutoff_has_none() -> None:
    cutoff = of(dated_results(WORLD, None, seed=2))
    assert cutoff.day is None and cutoff.low is None and cutoff.high is None
    assert "no bend found" in "\n".join(cutoff_lines(cutoff))
    assert cutoff_json(cutoff)["found"] is False


def test_where_the_panel_turns_nothing_is_found(results: Results) -> None:
    """The panel's model stops reading, and the one in question does not."""
    turned = effective_cutoff(results, "panel-1", panel=["subject"], catalog={})
    assert turned.day is None
    assert turned.rise is not None and turned.rise.is_outdone
    assert "no bend found" in "\n".join(cutoff_lines(turned))


def test_models_that_would_turn_the_curve_are_not_in_the_panel(results: Results) -> None:
    inside = stating(results, 1, knowledge_cutoff="2023-09")
    cutoff = of(inside)
    assert cutoff.curves[0].panel == ("panel-2", "panel-3")
    assert any("panel-1" in note and "not in the panel" in note for note in cutoff.notes)
    assert of(inside, panel=["panel-1"]).curves[0].panel == ("panel-1",)
    assert any("a panel of one" in note for note in of(inside, panel=["panel-1"]).notes)
    # A cutoff behind the last month turns nothing; a release there may hide a cutoff within.
    assert "panel-1" in of(stating(results, 1, knowledge_cutoff="2025-01")).curves[0].panel
    assert "panel-1" not in of(stating(results, 1, released="2025-01")).curves[0].panel
    unknown = stating(stating(stating(results, 1), 2), 3)
    assert of(unknown).curves[0].panel == ("panel-1", "panel-2", "panel-3")
    assert any("is known to have its cutoff outside" in note for note in of(unknown).notes)


def test_a_document_of_two_corpora_counts_once(results: Results) -> None:
    again = dataclasses.replace(results.corpora[4], key="again", label="again")
    doubled = dataclasses.replace(results, corpora=(*results.corpora, again))
    assert of(doubled).curves[0].documents.num_documents == of(results).curves[0].documents.num_documents


def test_months_that_the_panel_lacks_are_left_out(results: Results) -> None:
    fewer = list(results.corpora)
    fewer[0] = dataclasses.replace(fewer[0], cells={0: fewer[0].cells[0]})
    cutoff = of(dataclasses.replace(results, corpora=tuple(fewer)))
    assert len(cutoff.curves[0].documents.num_documents) == 13
    assert any("1 corpora left out" in note for note in cutoff.notes)


def test_too_little_is_said_to_be_so(results: Results) -> None:
    few = dataclasses.replace(results, corpora=results.corpora[:7])
    assert of(few).rise is None
    assert "not known" in "\n".join(cutoff_lines(of(few)))
    undated = dataclasses.replace(
        results,
        corpora=tuple(
            dataclasses.replace(
                corpus.with_rows(RowSpool(), published_at=(None,) * len(corpus.ids)),
                facts=dataclasses.replace(corpus.facts, date_from=None, date_to=None, sources=None),
            )
            for corpus in results.corpora
        ),
    )
    assert of(undated).rise is None
    assert all("have none" in note for note in of(undated).notes)
    alone = dataclasses.replace(results, configurations=results.configurations[:1])
    with pytest.raises(UsageError, match="alone"):
        of(alone)
    with pytest.raises(UsageError, match="the model itself"):
        of(results, panel=["subject"])
    with pytest.raises(UsageError, match="panel-1"):
        of(results, panel=["panel-l"])


def test_documents_dated_by_the_month_are_enough(results: Results) -> None:
    by_month = dataclasses.replace(
        results,
        corpora=tuple(
            corpus.with_rows(RowSpool(), published_at=(None,) * len(corpus.ids)) for corpus in results.corpora
        ),
    )
    cutoff = of(by_month)
    assert cutoff.day is not None and abs((cutoff.day - CUTOFF).days) <= 31
