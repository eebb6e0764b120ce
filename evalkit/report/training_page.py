"""The page of training runs: what each costs along its steps, and what every checkpoint changed."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.curve_fits import FITS, Fit
from evalkit.analysis.curves import Curve, CurveOptions, curves
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.figures import SiteFigure
from evalkit.analysis.results import Results
from evalkit.analysis.training_runs import runs_of_policy
from evalkit.report.pages import Pages
from evalkit.report.shown import ShownEstimate, ShownGap, difference, estimate
from evalkit.report.text import decimals
from evalkit.report.writer import Writer


class ShownCheckpoint(NamedTuple):
    """A checkpoint on a corpus."""

    step: int
    href: str
    level: ShownEstimate
    change: ShownGap | None
    """Since the checkpoint before, paired; None of the first."""


class ShownRun(NamedTuple):
    """A run on a corpus."""

    name: str
    checkpoints: list[ShownCheckpoint]
    law: str | None
    """The fitted law with its parameters; None where there are too few checkpoints."""


class ShownSubject(NamedTuple):
    """A corpus, or several put together, with the runs."""

    name: str
    href: str | None
    """The corpus's page; None of several."""
    runs: list[ShownRun]


class TrainingSection(NamedTuple):
    """The runs under a policy."""

    policy: str
    subjects: list[ShownSubject]


class Training(NamedTuple):
    """What the page shows."""

    curves: Mapping[str, Sequence[Curve]]
    """Of the runs of two checkpoints or more, by policy; empty where there is no such run, and no page."""
    figure: SiteFigure | None
    """The site's plot of them, if it was drawn."""


def training_of(results: Results, figures: Sequence[SiteFigure], *, warn: Callable[[str], None]) -> Training:
    """What the page shows of the cells.

    Args:
        results: the cells.
        figures: that the site has.
        warn: told of cells that are left out.
    """
    names = {
        policy: [run.name for run in runs_of_policy(results, policy, warn=warn) if len(run.checkpoints) > 1]
        for policy in results.policies
    }
    drawn = {
        policy: curves(results, CurveOptions(policy, runs=runs)) for policy, runs in names.items() if runs
    }
    return Training(drawn, next((figure for figure in figures if figure.name == "curve"), None))


def write_training(writer: Writer, pages: Pages, training: Training) -> None:
    """Write the page, where there is something to show."""
    sections = [TrainingSection(policy, _subjects(pages, drawn)) for policy, drawn in training.curves.items()]
    if sections:
        writer.page("training.html", "training.html", sections=sections, figure=training.figure)


def _subjects(pages: Pages, drawn: Sequence[Curve]) -> list[ShownSubject]:
    hrefs = {column.label: column.href for column in pages.columns()}
    names = dict.fromkeys(curve.subject for curve in drawn)
    return [
        ShownSubject(name, hrefs.get(name), [_run(pages, curve) for curve in drawn if curve.subject == name])
        for name in names
    ]


def _run(pages: Pages, curve: Curve) -> ShownRun:
    places = decimals(point.level.half_width for point in curve.points)
    checkpoints = [
        ShownCheckpoint(
            point.checkpoint.step,
            pages.row(point.checkpoint.configuration).href,
            estimate(point.level, places),
            None if point.change is None else difference(point.change),
        )
        for point in curve.points
    ]
    return ShownRun(curve.run.name, checkpoints, None if curve.fit is None else _law(curve.fit))


def _law(fit: Fit) -> str:
    values = ", ".join(f"{name} {_parameter(value)}" for name, value in fit.parameters.items())
    return f"{FITS[fit.kind]}: {values}"


def _parameter(value: Estimate) -> str:
    interval = "" if value.low is None or value.high is None else f" ({value.low:.4g} to {value.high:.4g})"
    return f"{value.value:.4g}{interval}".replace("-", "−")
