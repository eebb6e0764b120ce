"""Results of simulated models on dated documents, of which one has read until a known day."""

import dataclasses
import datetime as dt
import functools
import hashlib
from pathlib import Path

import numpy as np

from evalkit.analysis.configurations import ModelConfiguration
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.analysis.scored_rows import ScoredRows
from evalkit.cells.reading import cell_of
from evalkit.cells.schema import CorpusCell
from tests.support.cells import corpus_content

DAYS_PER_MONTH = 365.25 / 12
FIRST = dt.date(2023, 1, 1)


@dataclasses.dataclass(frozen=True)
class World:
    """What simulated documents and models are like."""

    num_months: int = 36
    documents_per_month: int = 100
    rise_per_month: float = 0.0
    """Of the logarithm of the model's bits, from its cutoff on."""
    step: float = 0.0
    """The same, at once."""
    trend: float = -0.0005
    """Of the same a month, all the time: texts may drift to what suits a model."""
    month_scatter: float = 0.001
    """Standard deviation of months: what happens to be written about suits one model more."""
    document_scatter: float = 0.03
    """Of documents about their site, with heavy tails (Student's t with 5 degrees of freedom)."""
    site_scatter: float = 0.01
    """Of the sites of a month."""
    num_panel: int = 3

    @property
    def has_cutoff(self) -> bool:
        """Whether anything rises."""
        return self.rise_per_month > 0 or self.step > 0


def first_day_of(month: int) -> dt.date:
    """The first day of the n-th month."""
    number = 12 * FIRST.year + FIRST.month - 1 + month
    return dt.date(number // 12, number % 12 + 1, 1)


def dated_results(world: World, cutoff: dt.date | None, seed: int) -> Results:
    """A corpus per month, the model ``subject`` and a panel that has read nothing of these months.

    Args:
        world: see there.
        cutoff: the last day that the model has read; None: it knows all days alike.
        seed: of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    cell = cell_of(Path("cell.json"), {**corpus_content(), "sha256": ""})
    assert isinstance(cell, CorpusCell)
    names = ["subject", *(f"panel-{number}" for number in range(1, world.num_panel + 1))]
    configurations = tuple(
        ModelConfiguration(
            name,
            name,
            name,
            "document",
            dataclasses.replace(cell.model, name=name, released="2020-01" if number else None),
            cell.policy,
        )
        for number, name in enumerate(names)
    )
    corpora = tuple(_corpus(world, cutoff, month, names, cell, rng) for month in range(world.num_months))
    return Results(configurations, corpora, (), ())


def _corpus(
    world: World,
    cutoff: dt.date | None,
    month: int,
    names: list[str],
    cell: CorpusCell,
    rng: np.random.Generator,
) -> ScoredCorpus:
    count = world.documents_per_month
    first, last = first_day_of(month), first_day_of(month + 1) - dt.timedelta(1)
    days = np.sort(rng.integers(first.toordinal(), last.toordinal() + 1, count))
    sites = rng.integers(0, max(1, count // 3), count)
    num_bytes = np.maximum(200, rng.lognormal(8.0, 0.7, count)).astype(np.int64)
    hard = 0.1 * rng.standard_normal() + 0.25 * rng.standard_normal(count)
    logs = np.empty((count, len(names)))
    for place in range(len(names)):
        of_sites = world.site_scatter * rng.standard_normal(count + 1)[sites]
        own = world.document_scatter * np.sqrt(3 / 5) * rng.standard_t(5, count)
        logs[:, place] = np.log(num_bytes) + hard - 0.1 * place + of_sites + own
    logs[:, 0] += world.trend * month + world.month_scatter * rng.standard_normal()
    if cutoff is not None:
        later = days - cutoff.toordinal()
        logs[:, 0] += world.rise_per_month * np.maximum(0, later) / DAYS_PER_MONTH
        logs[:, 0] += world.step * (later > 0)
    name = f"simulated-{first.isoformat()[:7]}"
    ids = tuple(f"{name} {place}" for place in range(count))
    return ScoredCorpus(
        key=name,
        label=name,
        facts=dataclasses.replace(
            cell.corpus,
            name=name,
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            date_from=first.isoformat(),
            date_to=last.isoformat(),
            sources={"simulated": count},
        ),
        cells=dict.fromkeys(range(len(names)), cell),
        load_rows=functools.partial(
            ScoredRows,
            ids=ids,
            digests=ids,
            titles=(None,) * count,
            clusters=tuple(f"{site}" for site in sites.tolist()),
            published_at=tuple(dt.date.fromordinal(int(day)).isoformat() for day in days),
            num_bytes=num_bytes,
            bits=np.exp(logs),
        ),
    )
