"""Which models have a line, and how it looks: the same in every plot of the same results."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.results import Results
from evalkit.analysis.training_runs import training_runs
from evalkit.cells.schema import TaskCell
from evalkit.plots.frame import COLORS, LineStyle, line_style

MOST_LINES = len(COLORS)
"""As many as have a colour of their own; a figure has more only where they are named."""
LOWEST = "the lowest in bits per byte beside the others of their corpora"
"""Which models are shown where not all are."""


class Chosen(NamedTuple):
    """What has a line in a figure."""

    names: list[str]
    """In the order in which they came."""
    note: str
    """For the conditions of the figure; empty where all are shown."""


def choose_lines(
    names: Iterable[str],
    order: Sequence[str],
    *,
    is_named: bool,
    warn: Callable[[str], None],
    nouns: str = "models",
    which: str = LOWEST,
) -> Chosen:
    """All that somebody named, else the first `MOST_LINES` by an order.

    Args:
        names: all that could be drawn.
        order: of names, those that are shown first in front; names that are not in it come last.
        is_named: whether somebody said which are to be drawn.
        warn: told if not all are.
        nouns: what they are, as the option that names them says it.
        which: what the order is.
    """
    candidates = list(dict.fromkeys(names))
    if is_named or len(candidates) <= MOST_LINES:
        return Chosen(candidates, "")
    places = {name: place for place, name in enumerate(order)}
    shown = sorted(candidates, key=lambda name: (places.get(name, len(places)), name))[:MOST_LINES]
    note = f"{MOST_LINES} of {len(candidates)} {nouns}: {which}"
    warn(f"{note}; --{nouns} draws others")
    return Chosen([name for name in candidates if name in shown], f"; {note}")


@functools.lru_cache(maxsize=2)
def model_order(results: Results) -> tuple[str, ...]:
    """Labels of configurations, the lowest in bits per byte beside the others of their corpora in front."""
    gaps: dict[int, list[float]] = {index: [] for index in range(len(results.configurations))}
    for corpus in results.corpora:
        for policy in results.policies:
            rates = {
                index: cell.bits_per_byte
                for index, cell in corpus.cells.items()
                if results.configurations[index].policy in (policy, None) and cell.bits_per_byte > 0
            }
            mean = math.fsum(rates.values()) / max(1, len(rates))
            for index, rate in rates.items():
                gaps[index].append(math.log(rate / mean))
    means = {index: math.fsum(row) / len(row) if row else math.inf for index, row in gaps.items()}
    labels = [row.label for row in results.configurations]
    return tuple(labels[index] for index in sorted(means, key=lambda index: (means[index], labels[index])))


@functools.lru_cache(maxsize=2)
def model_styles(results: Results) -> Mapping[str, LineStyle]:
    """How each model of the results is drawn, in every plot alike, whichever of them a plot shows.

    By the labels of configurations, and by names: that of a model with several configurations has the style
    of the lowest. The first `MOST_LINES` have colours of their own; then they repeat with other dashes.
    """
    order = list(model_order(results))
    label_of = {row.label: row.model for row in results.configurations}
    asked_models = [cell.model.name or "" for cell in results.probes if isinstance(cell, TaskCell)]
    scored_models = {cell.model.name for cell in results.cells}
    extra = sorted({*asked_models, *scored_models} - {*label_of, *label_of.values()})
    styles = {name: line_style(place) for place, name in enumerate([*order, *extra])}
    for label in order:
        styles.setdefault(label_of[label], styles[label])
    return styles


@functools.lru_cache(maxsize=2)
def run_styles(results: Results, policy: str) -> Mapping[str, LineStyle]:
    """How each training run of the results is drawn, by name: the run of the lowest checkpoint first.

    Raises:
        UsageError: no cell is of a checkpoint.
    """
    places = {label: place for place, label in enumerate(model_order(results))}
    best = {
        run.name: min(places[results.configurations[index].label] for index in run.configurations)
        for run in training_runs(results, policy)
    }
    order = sorted(best, key=lambda name: (best[name], name))
    return {name: line_style(place) for place, name in enumerate(order)}
