"""Until when a model has read: the day from which its cost rises beside that of a panel of other models.

A model pays less for what it has read, and for what the texts of its time speak of. Texts of later months
cost it more and more, beside models that have read as little of them as of earlier ones (K. Cheng et al.,
"Dated Data: Tracing Knowledge Cutoffs in Large Language Models", COLM 2024, follow the perplexity of dated
versions of articles; A. Lazaridou et al., "Mind the Gap: Assessing Temporal Generalization in Neural Language
Models", NeurIPS 2021, measure how models age). So, for each source and month of publication: the logarithm of
the model's bits less the mean logarithm of those of the panel, for the same documents.
`evalkit.analysis.bends` finds where that turns upwards.

A model of the panel whose own cutoff lies within these months would turn the curve as well, downwards, where
it is least wanted. The panel is therefore made of the language models that cannot: those whose stated cutoff
or release lies before the first month, or whose cutoff lies behind the last. Where there are none it is made
of the compressors, which have read nothing, and else of all other models, which is said.
"""

import datetime as dt
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from evalkit.analysis.bends import MIN_MONTHS, Rise, find_rise
from evalkit.analysis.cutoff import Cutoff
from evalkit.analysis.document_dates import Catalog, cutoff_of_model
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.monthly import DatedRows, MonthlyDocuments, dated_rows, monthly_documents, num_months
from evalkit.analysis.panel import candidates, find_corpora, find_model, grouped, labels_of, several
from evalkit.analysis.results import Results
from evalkit.analysis.sources import sources_of
from evalkit.dates import first_day
from evalkit.errors import UsageError
from evalkit.stats import CONFIDENCE

MAX_PROBABILITY = 1 - CONFIDENCE
"""Of a rise by chance: with more, no bend was found."""


class SourceCurve(NamedTuple):
    """The months of one source."""

    source: str
    panel: tuple[str, ...]
    """Labels."""
    documents: MonthlyDocuments


class EffectiveCutoff(NamedTuple):
    """What the cells say of until when a model has read."""

    label: str
    policy: str | None
    """None for a compressor."""
    stated: Cutoff | None
    """What its maker says; its release, where nobody states a cutoff."""
    curves: tuple[SourceCurve, ...]
    """Of the sources with enough months."""
    rise: Rise | None
    """None where no source has enough months."""
    notes: tuple[str, ...]
    """What was left out, and what to bear in mind."""

    @property
    def day(self) -> dt.date | None:
        """The last day that the model has read of; None where no bend was found."""
        if self.rise is None or self.rise.is_outdone or self.rise.probability > MAX_PROBABILITY:
            return None
        return dt.date.fromordinal(round(self.rise.day))

    @property
    def low(self) -> dt.date | None:
        """Lower end of the 95 % interval; None where there is none, or it reaches the first month."""
        if self.rise is None or self.day is None or self.rise.low <= self.rise.first_day:
            return None
        return dt.date.fromordinal(round(self.rise.low))

    @property
    def high(self) -> dt.date | None:
        """Upper end of the 95 % interval; None where there is none, or it reaches the last month."""
        if self.rise is None or self.day is None or self.rise.high >= self.rise.last_day:
            return None
        return dt.date.fromordinal(round(self.rise.high))

    @property
    def is_as_stated(self) -> bool | None:
        """Whether the interval holds a day that the stated date can mean; None where one of the two lacks."""
        if self.day is None or self.stated is None:
            return None
        is_before = self.high is not None and self.high < first_day(self.stated.date)
        is_after = self.low is not None and self.low > self.stated.last_day
        return not (is_before or is_after)


class MonthPoint(NamedTuple):
    """A month of a source."""

    month: str
    """``YYYY-MM``."""
    day: dt.date
    """The mean day of its documents."""
    num_documents: int
    ratio: Estimate
    """The model's bits over the geometric mean of the panel's, with the interval that the documents give."""
    fitted: float | None
    """The same as fitted; None where no bend was found."""


def month_points(cutoff: EffectiveCutoff, place: int) -> list[MonthPoint]:
    """The months of the curve at a place among `EffectiveCutoff.curves`."""
    series, num_documents = cutoff.curves[place].documents
    is_fitted = cutoff.rise is not None and cutoff.day is not None
    half_widths = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * np.sqrt(series.variances)
    points = []
    for index, month in enumerate(series.months):
        value, half_width = float(series.values[index]), float(half_widths[index])
        low, high = (
            (math.exp(value - half_width), math.exp(value + half_width)) if half_width else (None, None)
        )
        middle = float(series.days[index] @ series.shares[index])
        points.append(
            MonthPoint(
                month,
                dt.date.fromordinal(round(middle)),
                num_documents[index],
                Estimate(math.exp(value), low, high),
                math.exp(cutoff.rise.fitted[place][index]) if cutoff.rise and is_fitted else None,
            )
        )
    return points


def effective_cutoff(
    results: Results,
    model: str,
    *,
    corpora: Sequence[str] = (),
    panel: Sequence[str] = (),
    policy: str = "document",
    catalog: Catalog,
) -> EffectiveCutoff:
    """Until when a model has read, as its cells and those of other models tell.

    Args:
        results: the cells.
        model: its name, or its row's label.
        corpora: names; empty: all that the model was scored on.
        panel: names of the models to compare it with; empty: see above.
        policy: of the language models.
        catalog: see `evalkit.models.catalog.load_catalog`.

    Raises:
        UsageError: a name is unknown, or there is no other model.
    """
    row = find_model(results, model, policy)
    numbers = find_corpora(results, corpora, row)
    members = candidates(results, row, panel, policy)
    sources = sources_of(results)
    curves: list[SourceCurve] = []
    remarks: list[tuple[str, str]] = []
    for source in sorted({sources[number] for number in numbers}):
        of_source = [number for number in numbers if sources[number] == source]
        try:
            curve, of_curve = _curve(results, source, of_source, row, members, bool(panel), catalog)
        except UsageError as error:
            remarks.append((source, f"left out: {error}"))
            continue
        remarks += [(source, remark) for remark in of_curve]
        curves.append(curve)
    configuration = results.configurations[row]
    rise = find_rise([curve.documents.series for curve in curves]) if curves else None
    return EffectiveCutoff(
        configuration.label,
        configuration.policy,
        None if configuration.policy is None else cutoff_of_model(configuration.facts, catalog),
        tuple(curves),
        rise,
        grouped(remarks),
    )


def _curve(
    results: Results,
    source: str,
    corpora: Sequence[int],
    row: int,
    members: Sequence[int],
    is_chosen: bool,
    catalog: Catalog,
) -> tuple[SourceCurve, list[str]]:
    """The months of a source, and what is to be said of them.

    Raises:
        UsageError: there is nobody to compare the model with, or there are too few months.
    """
    # A month that lacks one of the panel has another level: so the corpora that most of them have in common.
    scored = {
        member: frozenset(number for number in corpora if member in results.corpora[number].cells)
        for member in members
    }
    common = max(scored.values(), key=lambda numbers: (len(numbers), sorted(numbers)))
    if not common:
        raise UsageError("no model of the panel was scored on its corpora")
    covering = [member for member in members if scored[member] >= common]
    remarks = []
    if len(common) < len(corpora):
        remarks.append(f"{len(corpora) - len(common)} corpora left out: the panel was not scored on them")
    dated = dated_rows(results, sorted(common), [row])
    if not len(dated.first_days):
        raise UsageError(f"no document has a date ({dated.num_undated:,} have none)")
    if num_months(results, sorted(common)) < MIN_MONTHS:
        raise _too_few(num_months(results, sorted(common)))
    chosen, remark = (covering, None) if is_chosen else _steady(results, covering, dated, catalog)
    remarks += [remark] if remark else []
    rows = dated_rows(results, sorted(common), [row, *chosen])
    documents = monthly_documents(rows)
    if len(documents.series.months) < MIN_MONTHS:  # with the documents that some could not represent
        raise _too_few(len(documents.series.months))
    if absent := sorted(set(members) - set(covering)):
        remarks.append(f"not in the panel, for want of cells: {several(labels_of(results, absent))}")
    remarks += _remarks(rows)
    if len(chosen) == 1 and results.configurations[chosen[0]].policy is not None:
        [label] = labels_of(results, chosen)
        remarks.append(f"a panel of one: where {label} gets cheaper, the model seems to get dearer")
    return SourceCurve(source, labels_of(results, chosen), documents), remarks


def _too_few(count: int) -> UsageError:
    months = "one month" if count == 1 else f"{count} months"
    return UsageError(f"documents of {months}, and a bend needs {MIN_MONTHS}")


def _steady(
    results: Results, members: Sequence[int], dated: DatedRows, catalog: Catalog
) -> tuple[list[int], str | None]:
    """Those whose own cutoff does not lie within the months, and what is to be said of it."""
    first = dt.date.fromordinal(int(dated.first_days.min()))
    last = dt.date.fromordinal(int(dated.last_days.max()))
    language_models = [member for member in members if results.configurations[member].policy is not None]
    steady = []
    for member in language_models:
        cutoff = cutoff_of_model(results.configurations[member].facts, catalog)
        is_past = cutoff is not None and cutoff.kind == "cutoff" and first_day(cutoff.date) > last
        if cutoff is not None and (cutoff.last_day < first or is_past):
            steady.append(member)
    compressors = [member for member in members if member not in language_models]
    chosen = steady or compressors
    if not chosen:
        return list(members), (
            "no model of the panel is known to have its cutoff outside of these months: where one of them "
            "has it, the curve turns as well"
        )
    turning = [member for member in language_models if member not in chosen]
    if not turning:
        return chosen, None
    return chosen, (
        "not in the panel, as their own cutoff lies within these months or is not known: "
        f"{several(labels_of(results, turning))}"
    )


def _remarks(rows: DatedRows) -> list[str]:
    """How many documents were left out."""
    remarks = []
    if rows.num_undated:
        remarks.append(f"{rows.num_undated:,} documents left out: they have no date that says the month")
    if rows.num_unpaid:
        remarks.append(f"{rows.num_unpaid:,} documents left out: not every model could represent them")
    return remarks
