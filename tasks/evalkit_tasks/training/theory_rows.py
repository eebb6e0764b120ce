"""What theory says of the tasks that networks were trained on, beside what the trained networks do."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

from evalkit.cells.probe_schema import ProbeTheory
from evalkit.errors import UsageError
from evalkit_tasks.formal.theory import Theory, analyse
from evalkit_tasks.training.experiments import Experiment, LayerSweep, fewest_layers, layer_sweeps
from evalkit_tasks.training.tasks.catalog import language_of_task

_FAMILIES = {
    "rwkv7 c=1": "rwkv7 c = 1",
    "rwkv7 c=2": "rwkv7 c = 2",
    **dict.fromkeys(("transformer-rope", "transformer-nope", "transformer-learned"), "transformer"),
    **dict.fromkeys(("lstm", "gru"), "rnn"),
}
"""Networks of which theory says something, by their names in tables, and as what in `Theory.min_layers`."""

SOURCES = (
    "none: no number of layers suffices in finite precision (arXiv 2411.12537, theorem 1, for parity);",
    "growing: more for longer strings, unless TC0 = NC1 (Barrington 1989), or as far as is known;",
    "constant: cascades of resets (Krohn and Rhodes 1965), masked transformers (arXiv 2310.13897) suffice;",
    "c=2: 4 layers do (arXiv 2503.14456, theorem 3), one where letters are swaps (theorem 2);",
    "lstm, gru: one layer is an automaton",
)


class TheoryRow(NamedTuple):
    """A task and a network: the layers that suffice by theory, and those that sufficed in training."""

    task: str
    language_class: str
    model: str
    by_theory: str
    """For every length: a number, ``constant``, ``growing``, ``none`` or ``unknown``."""
    layers_tried: tuple[int, ...]
    fewest: tuple[tuple[str, int | None], ...]
    """By length, the fewest layers with which the median seed has 90 % of the strings right; None: none of
    those that were tried."""


def theory_rows(experiments: Iterable[Experiment]) -> list[TheoryRow]:
    """A row for each task and network of which theory says something."""
    experiments = list(experiments)
    sweeps = layer_sweeps(experiments)
    swept = {id(experiment) for sweep in sweeps for experiment in sweep.experiments}
    sweeps += [LayerSweep((experiment,)) for experiment in experiments if id(experiment) not in swept]
    rows = []
    for sweep in sweeps:
        first = sweep.experiments[0]
        theory = theory_of_task(first.spec.task)
        by_theory = layers_by_theory(first.spec.task, first.model)
        if theory is not None and by_theory is not None:
            fewest = tuple((test, layers) for test, layers in fewest_layers(sweep))
            rows.append(
                TheoryRow(
                    first.spec.task, theory.language_class, first.model, by_theory, sweep.layers_tried, fewest
                )
            )
    return rows


def layers_by_theory(task: str, model: str) -> str | None:
    """The layers that suffice for a task at every length, of a network by its name in tables.

    Returns:
        A number, ``constant``, ``growing``, ``none`` or ``unknown``; None where theory says nothing.
    """
    theory = theory_of_task(task)
    if theory is None or model not in _FAMILIES:
        return None
    return theory.min_layers()[_FAMILIES[model]]


def cell_theory(task: str, model: str) -> ProbeTheory | None:
    """What the cell of a network says of theory; None for tasks of which it says nothing."""
    theory = theory_of_task(task)
    if theory is None:
        return None
    return ProbeTheory(language_class=theory.language_class, sufficient_layers=layers_by_theory(task, model))


@functools.lru_cache(maxsize=64)
def theory_of_task(task: str) -> Theory | None:
    """The theory of a task that is a regular language or a word problem; None for others."""
    try:
        language = language_of_task(task)
    except UsageError:  # of a cell from elsewhere: there is no such task
        return None
    return None if language is None else analyse(language)
