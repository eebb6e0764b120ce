"""Bits per byte along training runs: levels, paired changes from checkpoint to checkpoint, and fitted laws.

All checkpoints are scored on the same documents and share the draws of `evalkit.stats`. So most of what makes
a level uncertain (which documents a corpus happens to hold) is not in the change between two checkpoints.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE, Array
from evalkit.analysis.curve_fits import Fit, check_fit_from, fit
from evalkit.analysis.estimates import (
    ALONE,
    Estimate,
    Sums,
    estimates,
    fewest_clusters,
    level_samples,
    pair_samples,
    resampled_sums,
    sums_together,
)
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.analysis.training_runs import (
    Checkpoint,
    TrainingRun,
    place_along,
    training_runs,
)
from evalkit.errors import UsageError, unknown_name
from evalkit.patterns import matching_names

NO_FIT = "none"
"""Of `CurveOptions.fit`: no law is fitted."""


class CurveOptions(NamedTuple):
    """What of the runs is shown, and how."""

    policy: str = "document"
    corpora: Sequence[str] = ()
    """Names; empty: all."""
    runs: Sequence[str] = ()
    """Names; empty: all."""
    axis: str = "step"
    """``step``, ``tokens`` or ``flops``."""
    tokens_per_step: int | None = None
    """Of runs whose checkpoints do not say how many tokens had been read."""
    fit: str = "auto"
    """``power``, ``log``, ``auto`` or ``none``."""
    fit_from: float | None = None
    """The place along the axis from which on points count for the law; None: from the first."""


class Subject(NamedTuple):
    """What levels are of: a corpus, or several put together."""

    label: str
    sums: Sequence[Sums]
    corpora: Sequence[ScoredCorpus]

    @property
    def num_documents(self) -> int:
        """In all."""
        return sum(len(corpus.ids) for corpus in self.corpora)


class CurvePoint(NamedTuple):
    """A checkpoint's level."""

    checkpoint: Checkpoint
    x: float
    level: Estimate
    change: Estimate | None
    """The level minus that of the checkpoint before, paired; None of the first."""


class Curve(NamedTuple):
    """A run on a corpus."""

    run: TrainingRun
    subject: str
    points: tuple[CurvePoint, ...]
    fit: Fit | None

    def to_json(self) -> dict[str, object]:
        """As strict JSON can hold it."""
        law = self.fit and {
            "kind": self.fit.kind,
            "num_points": self.fit.num_points,
            "residual_sd": self.fit.residual_sd,
            **{name: value._asdict() for name, value in self.fit.parameters.items()},
        }
        points = [
            {
                "step": point.checkpoint.step,
                "x": point.x,
                "bits_per_byte": point.level._asdict(),
                "change": point.change and point.change._asdict(),
            }
            for point in self.points
        ]
        return {"run": self.run.name, "corpus": self.subject, "points": points, "fit": law}


def curves(
    results: Results, options: CurveOptions | None = None, *, warn: Callable[[str], None] = lambda _: None
) -> list[Curve]:
    """A curve per corpus and run, corpus after corpus; where there are several corpora, also of their mean.

    Args:
        results: the cells.
        options: what is shown.
        warn: told of cells that are left out.

    Raises:
        UsageError: a name is unknown, there are no runs, or nothing says where checkpoints stand on the axis.
    """
    options = options or CurveOptions()
    check_fit_from(options.fit_from)
    runs = training_runs(results, options.policy, names=options.runs, warn=warn)
    for run in runs:  # before anything is resampled
        for checkpoint in run.checkpoints:
            place_along(run, checkpoint, options.axis, options.tokens_per_step)
    drawn = [
        curve
        for subject in subjects(results, runs, options.corpora)
        for run in runs
        if (curve := _curve(run, subject, options)) is not None
    ]
    if not drawn:
        raise UsageError("no checkpoint of these runs was scored on these corpora")
    return drawn


def subjects(results: Results, runs: Sequence[TrainingRun], names: Sequence[str]) -> Iterator[Subject]:
    """The corpora on which a run was scored, one after the other, and all of them together if several.

    Args:
        results: the cells.
        runs: of these.
        names: of the corpora, or their labels; empty: all.

    Raises:
        UsageError: a name is unknown.
    """
    labels = [corpus.label for corpus in results.corpora]
    names = matching_names(names, [*labels, *(corpus.name for corpus in results.corpora)])
    for name in names:
        if name not in labels and all(name != corpus.name for corpus in results.corpora):
            raise unknown_name("corpus", name, labels, f"There are: {', '.join(labels)}.")
    configurations = {index for run in runs for index in run.configurations}
    chosen = [
        corpus
        for corpus in results.corpora
        if (not names or {corpus.label, corpus.name} & {*names}) and configurations & corpus.cells.keys()
    ]
    for corpus in chosen:
        yield Subject(corpus.label, [resampled_sums(corpus, stream=ALONE)], [corpus])
    if len(chosen) > 1:
        label = f"{AGGREGATES[HEADLINE].words} {len(chosen)} corpora"
        yield Subject(label, sums_together(chosen), chosen)


def scored_checkpoints(run: TrainingRun, subject: Subject) -> list[Checkpoint]:
    """The checkpoints of a run that have a cell on each of the subject's corpora."""
    return [
        checkpoint
        for checkpoint in run.checkpoints
        if all(checkpoint.configuration in corpus.cells for corpus in subject.corpora)
    ]


def differences_of_neighbors(subject: Subject, configurations: Sequence[int], samples: Array) -> Array:
    """Each configuration minus the one before it, ``[N - 1, 1 + R]``, on the documents of both.

    Args:
        subject: the corpora.
        configurations: of checkpoints, in order.
        samples: their levels, ``[N, 1 + R]``.
    """
    if all(corpus.num_sets == 1 for corpus in subject.sums):
        return np.asarray(np.diff(samples, axis=0))
    pairs = zip(configurations[1:], configurations[:-1], strict=True)
    rows = [pair_samples(HEADLINE, subject.sums, later, [before]) for later, before in pairs]
    return np.concatenate(rows) if rows else np.empty((0, samples.shape[1]))


def _curve(run: TrainingRun, subject: Subject, options: CurveOptions) -> Curve | None:
    checkpoints = scored_checkpoints(run, subject)
    if not checkpoints:
        return None
    configurations = [checkpoint.configuration for checkpoint in checkpoints]
    xs = [place_along(run, checkpoint, options.axis, options.tokens_per_step) for checkpoint in checkpoints]
    num_clusters = fewest_clusters(subject.sums)
    samples = level_samples(HEADLINE, subject.sums, configurations)
    changes = estimates(differences_of_neighbors(subject, configurations, samples), num_clusters)
    points = [
        CurvePoint(checkpoint, x, level, change)
        for checkpoint, x, level, change in zip(
            checkpoints, xs, estimates(samples, num_clusters), [None, *changes], strict=True
        )
    ]
    law = None
    if options.fit != NO_FIT:
        places = np.array(xs)
        counts = places >= (0.0 if options.fit_from is None else options.fit_from)
        law = fit(options.fit, places[counts], samples[counts], num_clusters)
    return Curve(run, subject.label, tuple(points), law)
