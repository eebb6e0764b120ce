"""What others have published, and our experiments on the same task, network and lengths."""

import dataclasses
import functools
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, NamedTuple

from evalkit.displayed import counted
from evalkit.fields import Called, Mark, from_json
from evalkit_tasks.training.experiments import Experiment
from evalkit_tasks.training.networks.architectures import ARCHITECTURES, display_name
from evalkit_tasks.training.tasks.catalog import task_names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A publication with numbers like ours."""

    title: str
    url: str
    statistic: str
    """What its numbers are, e.g. ``mean of 5 seeds``."""
    test: str
    """The lengths that were tested, as our tests are called."""
    metric: str
    """Our name of its accuracy, without ``_accuracy``."""
    labels: str
    """What its networks are asked for in training, as our ``--labels``."""
    train_length: int
    """The longest string in training."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """The numbers of one network in a publication."""

    source: str
    model: str
    """The nearest network of ours, by our name; else its own."""
    eigenvalues: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """Our ``--negative-eigenvalues``; None: ``off``."""
    name_in_source: Annotated[str | None, Called("as"), Mark.MAY_BE_ABSENT] = None
    results: Mapping[str, tuple[float, ...]]
    """By task: the accuracy in percent, and its deviation over seeds where it is stated."""

    @property
    def display_name(self) -> str:
        """The network as tables name it."""
        is_ours = self.model in ARCHITECTURES
        name = display_name(self.model, self.eigenvalues or "off") if is_ours else self.model
        return name if self.name_in_source is None else f"{name} ({self.name_in_source})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """All of `published.toml`."""

    sources: Mapping[str, Source]
    rows: tuple[Row, ...]


class Comparison(NamedTuple):
    """A published number, and an experiment of ours beside it where there is one."""

    task: str
    model: str
    test: str
    metric: str
    value: float
    """Percent, as published."""
    deviation: float | None
    source: str
    """Its name in `Published.sources`."""
    url: str
    ours: tuple[float, ...]
    """Percent, of each seed; empty where there is no such experiment."""
    ours_setting: str
    is_same_protocol: bool = False
    """Whether ours was trained with the same labels and on strings up to the same length."""


@functools.cache
def published() -> Published:
    """What `published.toml`, beside this module, holds."""
    text = (resources.files(__package__) / "published.toml").read_text(encoding="utf-8")
    return from_json(Published, tomllib.loads(text))


def compare(experiments: Sequence[Experiment]) -> list[Comparison]:
    """Every published number with each experiment of ours on the same task, network and lengths.

    In the order of tasks.
    """
    comparisons = []
    for row in published().rows:
        for task, (value, *deviation) in row.results.items():
            alone = Comparison(
                task=task,
                model=row.display_name,
                test=published().sources[row.source].test,
                metric=published().sources[row.source].metric,
                value=value,
                deviation=deviation[0] if deviation else None,
                source=row.source,
                url=published().sources[row.source].url,
                ours=(),
                ours_setting="",
            )
            fitting = [experiment for experiment in experiments if _fits(experiment, row, alone)]
            comparisons += [_beside(alone, experiment) for experiment in fitting] or [alone]
    order = task_names()
    return sorted(comparisons, key=lambda comparison: order.index(comparison.task))


def _fits(experiment: Experiment, row: Row, comparison: Comparison) -> bool:
    spec = experiment.spec
    return (
        (spec.task, spec.model) == (comparison.task, row.model)
        and spec.negative_eigenvalues == (row.eigenvalues or "off")
        and comparison.test in experiment.tests
    )


def _beside(comparison: Comparison, experiment: Experiment) -> Comparison:
    spec = experiment.spec
    source = published().sources[comparison.source]
    accuracies = experiment.values(comparison.test, f"{comparison.metric}_accuracy")
    return comparison._replace(
        ours=tuple(100 * accuracy for accuracy in accuracies),
        ours_setting=f"{counted(spec.num_layers, 'layer')}, {spec.labels} label, "
        f"{counted(spec.num_steps, 'step')}",
        is_same_protocol=(spec.labels, spec.train_length) == (source.labels, source.train_length),
    )
