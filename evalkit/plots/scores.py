"""The cells that a plot is about, and their numbers: those of the leaderboard."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE
from evalkit.analysis.cutoff import Reading, combined
from evalkit.analysis.document_dates import readings
from evalkit.analysis.narrowing import narrowed
from evalkit.analysis.rankings import Choice, Counted, Leaderboard, View, compute
from evalkit.analysis.results import Results, ScoredCorpus, read_results
from evalkit.analysis.sources import sources_of
from evalkit.displayed import first_of
from evalkit.errors import UsageError, unknown_name
from evalkit.models.catalog import load_catalog
from evalkit.plots.frame import LineStyle
from evalkit.plots.lines import choose_lines, model_order, model_styles
from evalkit.plots.names import short

Warn = Callable[[str], None]

Source = Results | Path | str
"""What a plot is drawn of: results that were read, or the folder that ``evalkit run --output`` wrote, also
that of an object store."""


def silent(_: str) -> None:
    """For who does not want to be warned."""


def results_of(source: Source, warn: Warn = silent, *, with_limited: bool = False) -> Results:
    """The results of a source, read if they are not yet.

    Args:
        source: results, or their folder.
        warn: told of every file that is left out, if it is read now.
        with_limited: as of `read_results`.

    Raises:
        UsageError: there is no such folder, or no whole cell in it.
    """
    if isinstance(source, Results):
        return source
    return read_results(source, warn=warn, with_limited=with_limited)


def name_of(source: Source) -> str:
    """What messages call the results."""
    return str(source.folder if isinstance(source, Results) else source)


def all_readings(results: Results) -> list[dict[int, Reading]]:
    """For each corpus and model, whether the model can have read it in training, as far as dates tell."""
    catalog = load_catalog()
    return [readings(results, number, catalog) for number in range(len(results.corpora))]


def with_reference(models: Sequence[str], reference: str | None) -> Sequence[str]:
    """The names of the models to read: those that were named, if any were, and the reference."""
    return [*models, reference] if models and reference and reference not in models else models


def marks_legend(marks: Collection[str]) -> str:
    """What the marks that a plot shows mean, to be put behind its conditions; nothing where it shows none."""
    words = {"†": "may have been read in training", "?": "not known whether it was read in training"}
    return "".join(f"; {mark}: {text}" for mark, text in words.items() if mark in marks)


@dataclasses.dataclass(frozen=True)
class Scores:
    """The cells that a plot is about, and their numbers."""

    results: Results
    board: Leaderboard
    policy: str
    sources: tuple[str, ...]
    """Of each corpus of the results; see `evalkit.analysis.sources.sources_of`."""
    styles: Mapping[str, LineStyle]
    """Of all models' labels, whichever are shown; see `evalkit.plots.lines.model_styles`."""
    order: tuple[str, ...]
    """Labels of all models; see `evalkit.plots.lines.model_order`."""
    newer_only: bool = False
    """Whether the view is of the corpora alone that are newer than every model, where there are some."""

    @property
    def view(self) -> View:
        """All corpora under the policy, or those that count on a leaderboard.

        Raises:
            UsageError: no model was scored on each of the corpora.
        """
        view, counted = self.board.views.get(Choice(self.policy, None, None)), self._counted
        if counted:
            view = counted.view
        if view is None or not view.configurations:
            names = ", ".join(corpus.label for corpus in self.results.corpora)
            raise UsageError(
                f"no model has a cell under the policy {self.policy} on each of {names}; "
                "say which with --corpora"
            )
        return view

    @functools.cached_property
    def _counted(self) -> Counted | None:
        """Which corpora count; None where all do without a question."""
        return self.board.counted(Choice(self.policy, None, None)) if self.newer_only else None

    @property
    def corpora(self) -> list[ScoredCorpus]:
        """Those of the view."""
        return [self.results.corpora[corpus] for corpus in self.view.corpora]

    def label(self, configuration: int) -> str:
        """The name of a row."""
        return self.results.configurations[configuration].label

    def style(self, configuration: int) -> LineStyle:
        """How a model is drawn: alike in every plot of the same results."""
        return self.styles[self.label(configuration)]

    def choose(
        self, configurations: Sequence[int], *, is_named: bool, warn: Warn, first: Sequence[int] = ()
    ) -> tuple[list[int], str]:
        """The models that have a line, and what the figure's conditions say of the others.

        Args:
            configurations: all that could be drawn.
            is_named: whether somebody said which are to be drawn; else the lowest have a line.
            warn: told if not all have one.
            first: those that have one in any case.
        """
        label_of = {self.label(index): index for index in configurations}
        order = [*(self.label(index) for index in first), *self.order]
        chosen = choose_lines(label_of, order, is_named=is_named, warn=warn)
        return [label_of[name] for name in chosen.names], chosen.note

    @functools.cached_property
    def readings(self) -> list[dict[int, Reading]]:
        """See `all_readings`."""
        return all_readings(self.results)

    def mark(self, configuration: int, corpora: Collection[int] | None = None) -> str:
        """What stands behind a model's name or number; see `evalkit.analysis.cutoff.MARKS`.

        Args:
            configuration: the model.
            corpora: indices of those that are shown; None: all that it was scored on.
        """
        exposures = [
            by_model[configuration].exposure
            for number, by_model in enumerate(self.readings)
            if configuration in by_model and (corpora is None or number in corpora)
        ]
        return combined(exposures).mark

    def marked_label(self, configuration: int, corpora: Collection[int] | None = None) -> str:
        """The name of a row with its mark."""
        return short(self.label(configuration), self.mark(configuration, corpora))

    def conditions(self, aggregate: str = HEADLINE) -> str:
        """What the numbers are about, in half a line."""
        corpora = self.corpora
        if len(corpora) == 1:
            subject = f"{corpora[0].label}, {len(corpora[0].ids):,} documents"
        else:
            names = first_of([corpus.label for corpus in corpora])
            subject = f"{AGGREGATES[aggregate].words} {len(corpora)} corpora ({names})"
        counted = self._counted
        part = ""
        if counted and len(corpora) < counted.num_corpora:
            part = f", of {counted.num_corpora} corpora those newer than every model"
        return f"{subject}{part}; policy {self.policy}"


def load_scores(
    source: Source,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    by_source: bool = False,
    newer_only: bool = False,
    warn: Warn = silent,
) -> Scores:
    """Results, and everything that the leaderboard makes of them.

    Args:
        source: results, or their folder.
        corpora: names of those to keep; empty: all.
        models: names of those to keep; empty: all.
        policy: of the language models.
        by_source: whether the numbers of each source by itself are needed as well.
        newer_only: whether only corpora that are newer than every model count, as on a leaderboard, where no
            corpus is named and some are.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is not in the results, or nothing is left to show.
    """
    results = results_of(source, warn)
    if not results.corpora:
        raise UsageError(
            f"{name_of(source)} holds no cell of a corpus, only probes; score a model with `evalkit run`"
        )
    scores = _scores(results, tuple(corpora), tuple(models), policy, by_source, name_of(source))
    return dataclasses.replace(scores, newer_only=newer_only and not corpora)


@functools.lru_cache(maxsize=1)
def _scores(
    results: Results,
    corpora: tuple[str, ...],
    models: tuple[str, ...],
    policy: str,
    by_source: bool,
    place: str,
) -> Scores:
    """Computed once for plots in a row that show the same, and held no longer; as of `load_scores`."""
    source_of = dict(zip([corpus.key for corpus in results.corpora], sources_of(results), strict=True))
    styles, order = model_styles(results), model_order(results)
    results = narrowed(results, corpora, models, policy, place)
    sources = tuple(source_of[corpus.key] for corpus in results.corpora)
    together = ("all",) * len(sources)
    board = compute(results, sources if by_source else together)
    return Scores(results, board, policy, sources, styles, order)


def find_configuration(scores: Scores, name: str, among: Sequence[int]) -> int:
    """The row of a model's name or label.

    Raises:
        UsageError: there is none among these, or several.
    """
    matches = [row for row in among if name in (scores.label(row), scores.results.configurations[row].model)]
    if not matches:
        labels = [scores.label(row) for row in among]
        raise unknown_name("model", name, labels, f"Compared here: {', '.join(labels)}.")
    if len(matches) > 1:
        labels = [scores.label(row) for row in matches]
        raise UsageError(f"{name} is here in several forms; say which: {' or '.join(map(repr, labels))}")
    return matches[0]
